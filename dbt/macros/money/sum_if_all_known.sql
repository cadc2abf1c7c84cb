{#
    The sum is rounded before coalesce() takes it together with the 0, because Redshift
    gives a decimal that is one of several cases at most 19 digits.
#}
{% macro sum_if_all_known(value, condition='true') -%}
    {%- set is_unknown = condition ~ " and " ~ value ~ " is null" -%}
    {%- set known_sum = "sum(case when " ~ condition ~ " then " ~ value ~ " end)" -%}
    case
        when sum(case when {{ is_unknown }} then 1 else 0 end) = 0
            then coalesce({{ rounded_money(known_sum) }}, 0)
    end
{%- endmacro %}
