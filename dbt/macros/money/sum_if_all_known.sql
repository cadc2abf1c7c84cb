{#
    A sum of money over the rows that meet a condition; null if one of them has no value, 0 if there is none.
    Rounded before it meets the 0: Redshift gives a decimal that is one of several cases 19 digits in all.
#}
{% macro sum_if_all_known(value, condition='true') -%}
    case
        when sum(case when {{ condition }} and {{ value }} is null then 1 else 0 end) = 0
            then coalesce(
                {{ rounded_money("sum(case when " ~ condition ~ " then " ~ value ~ " end)") }}, 0
            )
    end
{%- endmacro %}
