{% macro month_number(day) -%}
    cast(extract(year from {{ day }}) as integer) * 12
    + cast(extract(month from {{ day }}) as integer)
{%- endmacro %}
