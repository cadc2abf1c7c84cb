{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ env_var('GAME_ANALYTICS_SCHEMA_PREFIX', '') }}{{ custom_schema_name or 'marts' }}
{%- endmacro %}
