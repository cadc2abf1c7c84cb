{#
    An amount has up to 24 digits and a rate of each range up to 13, so a product has 38
    digits at most, which is the most that both engines hold. In a range of small rates,
    zeros are first moved from the rate to the amount. This changes no digit. From 10^13
    on the result is null, so that no amount can overflow a model. An amount is cast to
    24 digits, because DuckDB holds a product of two decimals of up to 18 digits in 18.
#}
{% macro to_reporting_currency(amount, currency, rate) -%}
    {%- set is_same = currency ~ ' = ' ~ reporting_currency() -%}
    {%- set exact = 'cast(' ~ amount ~ ' as decimal(24, 8))' -%}
    {%- set size -%}
        abs(cast({{ amount }} as double precision))
        * cast({{ rate }} as double precision)
    {%- endset -%}
    case
        when {{ is_same }}
            then case
                when abs({{ amount }}) < cast(10000000000000 as decimal(14, 0))
                    then cast({{ amount }} as decimal(38, 20))
            end
        when abs({{ amount }}) >= cast(10000000000000000 as decimal(17, 0)) then null
        when {{ size }} >= 10000000000000 then null
        when {{ rate }} >= 1000000000
            then cast(
                {{ exact }} * cast({{ rate }} as decimal(13, 0))
                as decimal(38, 20)
            )
        when {{ rate }} >= 100000
            then cast(
                {{ exact }} * cast({{ rate }} as decimal(13, 4))
                as decimal(38, 20)
            )
        when {{ rate }} >= 10
            then cast(
                {{ exact }} * cast({{ rate }} as decimal(13, 8))
                as decimal(38, 20)
            )
        when {{ rate }} >= cast(0.001 as decimal(4, 3))
            then cast(
                {{ exact }} * cast({{ rate }} as decimal(13, 12))
                as decimal(38, 20)
            )
        when {{ rate }} >= cast(0.0000001 as decimal(8, 7))
            then cast(
                round(
                    cast(
                        {{ exact }}
                        * cast(0.0001 as decimal(5, 4))
                        as decimal(24, 12)
                    )
                    * cast(
                        cast({{ rate }} as decimal(20, 20))
                        * cast(10000 as decimal(5, 0))
                        as decimal(13, 12)
                    ),
                    20
                ) as decimal(38, 20)
            )
        else cast(
            round(
                cast(
                    {{ exact }}
                    * cast(0.00000001 as decimal(9, 8))
                    as decimal(24, 16)
                )
                * cast(
                    cast({{ rate }} as decimal(20, 20))
                    * cast(100000000 as decimal(9, 0))
                    as decimal(13, 12)
                ),
                20
            ) as decimal(38, 20)
        )
    end
{%- endmacro %}
