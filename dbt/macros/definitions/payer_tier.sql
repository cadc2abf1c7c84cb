{#
    The thresholds are sorted here, so the order of the variable has no meaning. The
    lowest tier also holds payers below its threshold, whose purchases were refunded.
#}
{% macro payer_tier(is_payer, revenue) -%}
    {%- set tiers = var('payer_tiers').items() | sort(attribute='1', reverse=true) -%}
    case
        when not {{ is_payer }} then 'non_payer'
        {% for name, threshold in tiers[:-1] -%}
            when {{ revenue }} >= {{ threshold }} then '{{ name }}'
        {% endfor -%}
        else '{{ tiers[-1][0] }}'
    end
{%- endmacro %}
