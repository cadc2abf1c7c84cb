{# A sum over the rows that meet a condition; null if one of them has no value, 0 if there is none. #}
{% macro sum_if_all_known(value, condition='true') -%}
    case
        when sum(case when {{ condition }} and {{ value }} is null then 1 else 0 end) = 0
            then sum(case when {{ condition }} then {{ value }} else 0 end)
    end
{%- endmacro %}
