{#
    The first value of `column` that is known, in the order of `rank` (digits or an ISO date of
    fixed width), as an aggregate: min() over rank and value as one text, whose rank is cut off.
    One pass, where `ignore nulls` would need a window per column.
#}
{% macro first_known(column, rank, width) -%}
    substring(min({{ rank }} || {{ column }}), {{ width + 1 }})
{%- endmacro %}
