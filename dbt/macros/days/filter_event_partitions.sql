{#
    The days are literals, so that an engine reads only their folders. A full build
    filters by a range that contains every partition, because no query may read an
    external table on Redshift without a filter on its partition columns.
#}
{% macro filter_event_partitions(sources=['raw_events'], before=0, after=0) -%}
    {%- if model['slice'] is defined -%}
        {{ return(filter_slice_of_event_partitions(model['slice'])) }}
    {%- endif -%}
    {%- set days = run_days_or_all(sources, before, after) -%}
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

{#
    The keys are compared one by one, because no engine skips folders by a text that is
    joined of them.
#}
{% macro filter_slice_of_event_partitions(slice) -%}
    {%- set conditions = ["year between '0000' and '9999'"] -%}
    {%- for limit, sign in [(slice['first'], '>'), (slice['last'], '<')] if limit -%}
        {%- set year, month, day = (limit | string).split('-') -%}
        {%- do conditions.append(
            "(year " ~ sign ~ " '" ~ year ~ "' or (year = '" ~ year ~ "' and (month "
            ~ sign ~ " '" ~ month ~ "' or (month = '" ~ month ~ "' and day " ~ sign
            ~ "= '" ~ day ~ "'))))"
        ) -%}
    {%- endfor -%}
    {{ conditions | join(' and ') }}
{%- endmacro %}
