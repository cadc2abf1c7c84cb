{#
    Each engine has its own functions that write JSON. A literal cannot hold a backslash
    for both, because Redshift reads it as an escape character.
#}
{% macro json_row(relation, columns, personal) -%}
    '{'
    {%- for column in columns %}
        {%- set value = relation ~ "." ~ column %}
        || '{{ ", " if not loop.first }}"{{ column }}": '
        || coalesce(
            {% if column in personal -%}
                case when {{ value }} is not null then '"***"' end
            {%- else -%}
                '"' || {{ escaped_for_json(value) }} || '"'
            {%- endif %},
            'null'
        )
    {%- endfor %}
    || '}'
{%- endmacro %}

{% macro escaped_for_json(text) -%}
    {%- set escaped = namespace(
        sql="replace(" ~ text ~ ", chr(92), chr(92) || chr(92))"
    ) -%}
    {%- for character, letter in [(34, '"'), (9, 't'), (10, 'n'), (13, 'r')] -%}
        {%- set escaped.sql = "replace(" ~ escaped.sql ~ ", chr(" ~ character
            ~ "), chr(92) || '" ~ letter ~ "')" -%}
    {%- endfor -%}
    {{ escaped.sql }}
{%- endmacro %}
