{# A list of whole numbers as the rows of a query with one column. #}
{% macro values_as_rows(values, column) -%}
    {% for value in values -%}
        select {{ value }} as {{ column }}{{ " union all" if not loop.last }}
    {% endfor %}
{%- endmacro %}
