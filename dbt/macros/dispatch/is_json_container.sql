{#
    DuckDB also accepts NaN, Infinity and a comma behind the last value, which are not
    JSON. The text is searched for them first as it is, and then without its strings,
    because that takes longer.
#}
{% macro is_json_container(text) -%}
    {{ adapter.dispatch('is_json_container')(text) }}
{%- endmacro %}

{% macro duckdb__is_json_container(text) -%}
    {%- set not_json = ',\\s*[}\\]]|[:,\\[]\\s*-?([nN][aA]|[iI])[nN]' -%}
    case
        when left(ltrim({{ text }}, e' \t\n\r'), 1) in ('{', '[')
            then
                json_valid({{ text }})
                and (
                    not regexp_matches({{ text }}, '{{ not_json }}')
                    or not regexp_matches(
                        regexp_replace({{ text }}, '"([^"\\]|\\.)*"', '""', 'g'),
                        '{{ not_json }}'
                    )
                )
        else false
    end
{%- endmacro %}

{% macro redshift__is_json_container(text) -%}
    case
        when {{ text }} ~ '^[[:space:]]*[{]' then is_valid_json({{ text }})
        when {{ text }} ~ '^[[:space:]]*[[]' then is_valid_json_array({{ text }})
        else false
    end
{%- endmacro %}
