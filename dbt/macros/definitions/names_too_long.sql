{#
    Whether one of these texts has more bytes than the marts' varchar(1024) takes for sure: Spectrum
    cuts at 1,024 bytes, up to three earlier, and what may be cut must not pass for another's name.
    `appended` are the bytes that a mart puts behind it.
#}
{% macro names_too_long(columns, appended=0) -%}
    (
        {%- for column in columns %}
        {{ "or " if not loop.first }}coalesce({{ byte_count(column) }} > {{ 1020 - appended }}, false)
        {%- endfor %}
    )
{%- endmacro %}
