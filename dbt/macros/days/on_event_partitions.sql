{#
    A filter on the partition columns year, month and day of an event folder, as literals, so that
    an engine reads those folders alone. A full build names a range that holds every partition:
    on Redshift no query may reach an external table without such a filter.
#}
{% macro on_event_partitions(sources=['raw_events'], before=0, after=0) -%}
    {%- set days = touched_days(sources, before, after) -%}
    {%- if days is none -%}
        year between '0000' and '9999'
    {%- elif not days -%}
        year = 'none touched'
    {%- else -%}
        {%- set months = {} -%}
        {%- for day in days -%}
            {%- do months.setdefault(day[:7], []).append(day[8:]) -%}
        {%- endfor -%}
        (
        {%- for month, month_days in months.items() %}
            {% if not loop.first %}or {% endif -%}
            (
                year = '{{ month[:4] }}' and month = '{{ month[5:] }}'
                and day in ('{{ month_days | join("', '") }}')
            )
        {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}
