{#
    The days are literals, so that an engine reads only their folders. The column is
    text, so a range of texts contains every partition in a full build.
#}
{% macro filter_date_partitions(column, sources) -%}
    {%- set days = run_days_or_all(sources) -%}
    {%- if days is none -%}
        {{ column }} between '0000' and '9999'
    {%- elif not days -%}
        {{ column }} = 'none touched'
    {%- else -%}
        {{ column }} in ('{{ days | join("', '") }}')
    {%- endif -%}
{%- endmacro %}
