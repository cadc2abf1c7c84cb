{# The schemas carry the names of the design, with the developer's prefix in front. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ schema_prefix() }}{{ custom_schema_name or 'marts' }}
{%- endmacro %}
