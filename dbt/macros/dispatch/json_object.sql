{#
    A JSON object's text; one that came as a JSON string is unwrapped, what is no JSON is null.
    A string is known by its quote: DuckDB's json_type() would read the text once more.
#}
{% macro json_object(json) -%}
    {{ adapter.dispatch('json_object')(json) }}
{%- endmacro %}

{% macro duckdb__json_object(json) -%}
    case
        when not json_valid({{ json }}) then null
        when left(ltrim({{ json }}, e' \t\n\r'), 1) = '"'
            then case
                when json_valid(json_extract_string({{ json }}, '$'))
                    then json_extract_string({{ json }}, '$')
            end
        else {{ json }}
    end
{%- endmacro %}

{% macro redshift__json_object(json) -%}
    case
        when not is_valid_json({{ json }}) and not is_valid_json('{"text":' || {{ json }} || '}') then null
        when left(ltrim({{ json }}), 1) = '"'
            then case
                when is_valid_json(json_extract_path_text('{"text":' || {{ json }} || '}', 'text'))
                    then json_extract_path_text('{"text":' || {{ json }} || '}', 'text')
            end
        else {{ json }}
    end
{%- endmacro %}
