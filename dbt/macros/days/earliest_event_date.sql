{#
    Events of earlier days are not valid: a device whose clock stands at 1970 would add decades of days
    without players to each report. No event may be that old; best the day on which the first game came out.
#}
{% macro earliest_event_date() -%}
    date '2010-01-01'
{%- endmacro %}
