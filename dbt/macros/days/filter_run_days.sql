{% macro filter_run_days(column, sources=['raw_events'], before=0, after=0) -%}
    {{ filter_days(column, run_days_or_all(sources, before, after)) }}
{%- endmacro %}
