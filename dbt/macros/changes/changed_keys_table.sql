{% macro changed_keys_table(name) -%}
    {{ generate_schema_name('operations', none) }}.changes_of_{{ name }}
{%- endmacro %}
