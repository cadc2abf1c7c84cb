{# A filter on a date column: the touched days and their neighbours, as literals. #}
{% macro on_days(column, sources=['raw_events'], before=0, after=0) -%}
    {{ in_days(column, touched_days(sources, before, after)) }}
{%- endmacro %}
