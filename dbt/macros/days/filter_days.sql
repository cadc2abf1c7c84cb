{% macro filter_days(column, days) -%}
    {%- if days is none -%}
        true
    {%- elif not days -%}
        false
    {%- else -%}
        {{ column }} in (date '{{ days | join("', date '") }}')
    {%- endif -%}
{%- endmacro %}
