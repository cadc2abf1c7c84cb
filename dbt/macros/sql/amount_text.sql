{#
    Programs separate thousands with a space or an apostrophe. They also write a
    no-break space (U+00A0), a narrow one (U+202F) or a typographic apostrophe (U+2019).
#}
{% macro amount_text(text) -%}
    {%- set plain -%}
        translate({{ text }}, '{{ "\u00a0\u202f\u2019" }}', '  ''')
    {%- endset -%}
    {{ trimmed(plain) }}
{%- endmacro %}
