{#
    The limit is 1,020 bytes, because Spectrum cuts a text at 1,024 bytes, and up to
    three bytes earlier where a character would be split. A text that may have been cut
    must not count as the name of another player, session or item.
#}
{% macro is_any_name_too_long(columns, appended=0) -%}
    (
        {%- for column in columns %}
        {{ "or " if not loop.first }}coalesce(
            {{ byte_count(column) }} > {{ 1020 - appended }}, false
        )
        {%- endfor %}
    )
{%- endmacro %}
