{% macro is_any_of(column, texts) -%}
    {{ column }} in ('{{ texts | join("', '") }}')
{%- endmacro %}
