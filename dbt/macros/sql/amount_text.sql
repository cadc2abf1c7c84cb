{#
    The text of an amount whose thousands are separated by plain spaces and apostrophes.
    Programs also write a no-break space (U+00A0), a narrow no-break space (U+202F) and a
    typographic apostrophe (U+2019).
#}
{% macro amount_text(text) -%}
    {%- set plain -%}
        translate({{ text }}, '{{ "\u00a0\u202f\u2019" }}', '  ''')
    {%- endset -%}
    {{ trimmed(plain) }}
{%- endmacro %}
