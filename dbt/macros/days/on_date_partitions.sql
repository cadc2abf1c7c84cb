{# The same for a folder partitioned by one column `date`, as text. #}
{% macro on_date_partitions(column, sources) -%}
    {%- set days = touched_days(sources) -%}
    {%- if days is none -%}
        {{ column }} between '0000' and '9999'
    {%- elif not days -%}
        {{ column }} = 'none touched'
    {%- else -%}
        {{ column }} in ('{{ days | join("', '") }}')
    {%- endif -%}
{%- endmacro %}
