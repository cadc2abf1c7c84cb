{#
    A player who is reactivated had an active day on the day before the absence, which
    must be among the days that are read.
#}
{% macro segment_days() %}
    {% set absence = lifecycle_days('lapsed') + lifecycle_days('reactivated') + 1 %}
    {{ return([90, absence] | max) }}
{% endmacro %}
