{#
    The text of a JSON object; one that came as a JSON string is unwrapped, what is no object is null. A string is
    known by its quote: DuckDB's json_type() would read the text once more. It has room for what Redshift puts
    around it, in a varchar of 65,535 bytes.
#}
{% macro json_object(json) -%}
    {{ adapter.dispatch('json_object')(json) }}
{%- endmacro %}

{% macro duckdb__json_object(json) -%}
    {%- set inner = "json_extract_string(" ~ json ~ ", '$')" -%}
    case
        when not json_valid({{ json }}) then null
        when left(ltrim({{ json }}, e' \t\n\r'), 1) = '{' then {{ json }}
        when left(ltrim({{ json }}, e' \t\n\r'), 1) = '"' and strlen({{ json }}) <= 65525
            then case
                when json_valid({{ inner }}) and left(ltrim({{ inner }}, e' \t\n\r'), 1) = '{'
                    then {{ inner }}
            end
    end
{%- endmacro %}

{% macro redshift__json_object(json) -%}
    {%- set wrapped = "'{\"text\":' || " ~ json ~ " || '}'" -%}
    {%- set inner = "json_extract_path_text(" ~ wrapped ~ ", 'text')" -%}
    case
        when left(ltrim({{ json }}), 1) = '"'
            then case
                when octet_length({{ json }}) <= 65525
                    then case
                        when is_valid_json({{ wrapped }})
                            then case when is_valid_json({{ inner }}) then {{ inner }} end
                    end
            end
        when is_valid_json({{ json }}) then {{ json }}
    end
{%- endmacro %}
