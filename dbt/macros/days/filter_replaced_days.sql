{% macro filter_replaced_days(column=none) -%}
    {%- if model['slice'] is defined -%}
        {{ return(filter_slice(
            column or model['config']['meta']['replaced_days']['column'], model['slice']
        )) }}
    {%- endif -%}
    {%- if not is_incremental() -%}
        {#- While dbt parses, and in a unit test, `config` holds no `meta` to read. -#}
        {{ return('true') }}
    {%- endif -%}
    {%- set replaced = config.get('meta')['replaced_days'] -%}
    {{ filter_run_days(
        column or replaced['column'],
        replaced['sources'],
        replaced['before'],
        replaced['after']
    ) }}
{%- endmacro %}
