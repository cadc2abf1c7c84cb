{#
    From 10^13 on the result is null, so that no amount can overflow a model. The
    operands have these types because DuckDB multiplies two values of decimal(18, 8)
    into a decimal(18, 16), which overflows from 100 on.
#}
{% macro to_reporting_currency(amount, currency, rate) -%}
    {%- set rate_in_use -%}
        case
            when {{ currency }} = {{ reporting_currency() }}
                then cast(1 as decimal(16, 8))
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
