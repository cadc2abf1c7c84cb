{#
    A filter for the days that this model replaces (`replaced_days` in its YAML); `column` is the date
    column's name in the relation that is read, by default the model's own.
#}
{% macro on_replaced_days(column=none) -%}
    {%- if not is_incremental() -%}
        {#- Every day is replaced. While dbt parses, and in a unit test, there is no `meta` to read. -#}
        {{ return('true') }}
    {%- endif -%}
    {%- set replaced = config.get('meta')['replaced_days'] -%}
    {{ on_days(
        column or replaced['column'], replaced['sources'], replaced['before'], replaced['after']
    ) }}
{%- endmacro %}
