{#
    A device whose clock is at 1970 would add decades of days without players to each
    report. The best value of the setting is the day on which the first game came out.
#}
{% macro earliest_event_date() -%}
    date '{{ env_var('GAME_ANALYTICS_EARLIEST_DATE', '2010-01-01') }}'
{%- endmacro %}
