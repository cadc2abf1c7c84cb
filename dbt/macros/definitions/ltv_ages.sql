{% macro ltv_ages() %}
    {{ return([0, 1, 3, 7, 14, 30, 60, 90, 180]) }}
{% endmacro %}
