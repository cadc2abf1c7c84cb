{% macro retention_days() %}
    {{ return([1, 3, 7, 14, 30, 60, 90]) }}
{% endmacro %}
