{% macro two_sided_p(z) -%}
    {{ erfc('(abs(' ~ z ~ ') / 1.4142135623730951E00)') }}
{%- endmacro %}
