{#
    min() over the rank and the value as one text finds the value in one pass. With
    `ignore nulls` each column would need a window of its own.
#}
{% macro first_known(column, rank, width) -%}
    substring(min({{ rank }} || {{ column }}), {{ width + 1 }})
{%- endmacro %}
