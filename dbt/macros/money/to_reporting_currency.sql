{#
    An amount has up to 24 digits and a rate of each range up to 13, so a product has 38
    digits at most, which is the most that both engines hold. In a range of small rates,
    zeros are first moved from the rate to the amount. This changes no digit. From 10^13
    on the result is null, so that no single amount overflows a model. An amount is cast
    to 24 digits, because DuckDB holds a product of two decimals of up to 18 digits in
    18.
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
        {% for least, decimals in rate_ranges() -%}
            {%- set zeros = [decimals - 12, 0] | max -%}
            when {{ rate }} >= cast({{ least }} as decimal(32, 20))
                then {% if not zeros -%}
                    cast(
                        {{ exact }} * {{ short_decimal(rate, 13, decimals) }}
                        as decimal(38, 20)
                    )
                {%- else -%}
                    cast(
                        round(
                            cast(
                                {{ exact }}
                                * cast(
                                    0.{{ '0' * (zeros - 1) }}1
                                    as decimal({{ zeros + 1 }}, {{ zeros }})
                                )
                                as decimal(24, {{ 8 + zeros }})
                            )
                            * cast(
                                cast({{ rate }} as decimal(20, 20))
                                * cast(
                                    1{{ '0' * zeros }}
                                    as decimal({{ zeros + 1 }}, 0)
                                )
                                as decimal(13, 12)
                            ),
                            20
                        ) as decimal(38, 20)
                    )
                {%- endif %}
        {% endfor -%}
    end
{%- endmacro %}
