{# A filter on a date column: these days (ISO dates) as literals, or none for every day. #}
{% macro in_days(column, days) -%}
    {%- if days is none -%}
        true
    {%- elif not days -%}
        false
    {%- else -%}
        {{ column }} in (date '{{ days | join("', date '") }}')
    {%- endif -%}
{%- endmacro %}
