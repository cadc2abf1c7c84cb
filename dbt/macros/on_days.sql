{# A filter on a date column: the touched days and their neighbours, as literals. #}
{% macro on_days(column, sources=['raw_events'], before=0, after=0) -%}
    {%- set days = touched_days(sources, before, after) -%}
    {%- if days is none -%}
        true
    {%- elif not days -%}
        false
    {%- else -%}
        {{ column }} in (date '{{ days | join("', date '") }}')
    {%- endif -%}
{%- endmacro %}
