{% macro values_as_rows(values, column) -%}
    {% for value in values -%}
        select {{ value }} as {{ column }}{{ " union all" if not loop.last }}
    {% endfor %}
{%- endmacro %}
