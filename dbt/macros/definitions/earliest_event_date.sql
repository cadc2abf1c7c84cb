{#
    A device whose clock is at 1970 would add decades of days without players to each
    report. The best value is the day on which the studio's first game came out.
#}
{% macro earliest_event_date() -%}
    date '2010-01-01'
{%- endmacro %}
