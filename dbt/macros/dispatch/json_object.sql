{#
    DuckDB recognizes an object and a string by their first character, because
    json_type() would parse the text a second time. A string may have 65,525 bytes,
    because Redshift reads it inside of an object, which adds ten bytes and must fit
    into 65,535.
#}
{% macro json_object(json, is_plain='false') -%}
    {{ adapter.dispatch('json_object')(json, is_plain) }}
{%- endmacro %}

{#
    DuckDB also accepts NaN, Infinity and a comma behind the last value, which are not
    JSON. The text is searched for them first as it is, and then without its strings,
    because that takes longer.
#}
{% macro not_json_pattern() -%}
    ,\s*[}\]]|[:,\[]\s*-?([nN][aA]|[iI])[nN]
{%- endmacro %}

{% macro is_strict_json(text) -%}
    {%- set not_json = not_json_pattern() -%}
    (
        json_valid({{ text }})
        and (
            not regexp_matches({{ text }}, '{{ not_json }}')
            or not regexp_matches(
                regexp_replace({{ text }}, '"([^"\\]|\\.)*"', '""', 'g'),
                '{{ not_json }}'
            )
        )
    )
{%- endmacro %}

{% macro duckdb__json_object(json, is_plain) -%}
    {%- set first = "left(ltrim(" ~ json ~ ", e' \\t\\n\\r'), 1)" -%}
    {%- set inner = "json_extract_string(" ~ json ~ ", '$')" -%}
    {%- set inner_first = "left(ltrim(" ~ inner ~ ", e' \\t\\n\\r'), 1)" -%}
    case
        when {{ is_plain }} then {{ json }}
        when {{ first }} = '{'
            then case when {{ is_strict_json(json) }} then {{ json }} end
        when {{ first }} = '"' and strlen({{ json }}) <= 65525
            then case
                when json_valid({{ json }})
                    then case
                        when {{ inner_first }} = '{'
                            then case
                                when {{ is_strict_json(inner) }} then {{ inner }}
                            end
                    end
            end
    end
{%- endmacro %}

{% macro redshift__json_object(json, is_plain) -%}
    {%- set wrapped = "'{\"text\":' || " ~ json ~ " || '}'" -%}
    {%- set inner = "json_extract_path_text(" ~ wrapped ~ ", 'text')" -%}
    case
        when left(ltrim({{ json }}), 1) = '"'
            then case
                when octet_length({{ json }}) <= 65525
                    then case
                        when is_valid_json({{ wrapped }})
                            then case
                                when is_valid_json({{ inner }}) then {{ inner }}
                            end
                    end
            end
        when is_valid_json({{ json }}) then {{ json }}
    end
{%- endmacro %}
