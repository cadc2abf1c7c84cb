{#
    An amount in the reporting currency at full precision, decimal(37, 16); null without a rate, and null
    from 10^13 on, so that no amount can overflow a model. It takes sums below 10^13 and rates below 10^8:
    with two operands of decimal(18, 8) DuckDB's product is decimal(18, 16), which overflows from 100 on.
#}
{% macro converted(amount, currency, rate) -%}
    {%- set rate_in_use -%}
        case
            when {{ currency }} = {{ reporting_currency() }} then cast(1 as decimal(16, 8))
            else cast({{ rate }} as decimal(16, 8))
        end
    {%- endset -%}
    case
        when
            abs(cast({{ amount }} as double precision))
            * cast({{ rate_in_use }} as double precision) < 10000000000000
            then cast({{ amount }} as decimal(21, 8)) * {{ rate_in_use }}
    end
{%- endmacro %}
