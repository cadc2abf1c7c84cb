{% macro filter_run_days(column, sources=['raw_events'], before=0, after=0) -%}
    {%- if model['slice'] is defined -%}
        {{ filter_slice(column, model['slice'], before, after) }}
    {%- else -%}
        {{ filter_days(column, run_days_or_all(sources, before, after)) }}
    {%- endif -%}
{%- endmacro %}
