{% macro is_json_container(text) -%}
    {{ adapter.dispatch('is_json_container')(text) }}
{%- endmacro %}

{% macro duckdb__is_json_container(text) -%}
    case
        when {{ text }}[1] in ('{', '[') then {{ is_strict_json(text) }}
        else false
    end
{%- endmacro %}

{% macro redshift__is_json_container(text) -%}
    case
        when left({{ text }}, 1) = '{' then is_valid_json({{ text }})
        when left({{ text }}, 1) = '[' then is_valid_json_array({{ text }})
        else false
    end
{%- endmacro %}
