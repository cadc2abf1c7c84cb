{# Keeps two developers of one warehouse apart: GAME_ANALYTICS_SCHEMA_PREFIX. #}
{% macro schema_prefix() -%}
    {{ env_var('GAME_ANALYTICS_SCHEMA_PREFIX', '') }}
{%- endmacro %}
