{#
    G. W. Hill's asymptotic expansion (1970, algorithm 395 of the ACM). From 29 degrees
    of freedom on, which means of 30 players have at least, the p value is right to
    3e-8 of its size as long as t is below 6, and to 1e-6 down to p values of 1e-9. A
    small t takes the series of ln(1 + x), because 1 + x alone would lose its digits.
#}
{% macro normal_deviate(t, df) -%}
    {%- set part = "(" ~ t ~ " * " ~ t ~ " / " ~ df ~ ")" -%}
    {%- set a = "(" ~ df ~ " - 0.5E00)" -%}
    {%- set b = "(48E00 * " ~ a ~ " * " ~ a ~ ")" -%}
    {%- set y -%}
        (
            {{ a }} * case
                when {{ part }} < 0.0001E00
                    then {{ part }} * {{ polynomial(part, [
                        '-0.25E00', '0.33333333333333333E00', '-0.5E00', '1E00'
                    ]) }}
                else ln(1 + {{ part }})
            end
        )
    {%- endset -%}
    (
        (
            {{ polynomial(y, ['-0.4E00', '-3.3E00', '-24E00', '-85.5E00']) }}
            / (0.8E00 * {{ y }} * {{ y }} + 100E00 + {{ b }})
            + {{ y }} + 3E00
        ) / {{ b }} + 1E00
    ) * sqrt({{ y }})
{%- endmacro %}
