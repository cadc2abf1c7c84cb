{% macro is_mature(cohort_date, days, as_of_date) -%}
    {{ cohort_date }} + cast({{ days }} as integer) <= {{ as_of_date }}
{%- endmacro %}
