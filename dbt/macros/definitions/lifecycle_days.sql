{% macro lifecycle_days(stage) %}
    {{ return(var('lifecycle_days')[stage]) }}
{% endmacro %}
