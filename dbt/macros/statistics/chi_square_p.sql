{#
    For a whole number of degrees of freedom the tail of the chi-square distribution is
    a finite sum, of which each two degrees add a term. 30 degrees of freedom are enough
    for 31 variants; with more the result is null.
#}
{% macro chi_square_p(x, df) -%}
    {%- set even = namespace(sum='1E00') -%}
    {%- set odd = namespace(sum='1E00') -%}
    {%- for term in range(14, 0, -1) -%}
        {%- set even.sum -%}
            (1E00 + case
                when {{ df }} > {{ 2 * term }} then {{ x }} / {{ 2 * term }}E00 else 0
            end * {{ even.sum }})
        {%- endset -%}
        {%- set odd.sum -%}
            (1E00 + case
                when {{ df }} > {{ 2 * term + 1 }} then {{ x }} / {{ 2 * term + 1 }}E00
                else 0
            end * {{ odd.sum }})
        {%- endset -%}
    {%- endfor -%}
    case
        when {{ df }} < 1 or {{ df }} > 30 then null
        when mod({{ df }}, 2) = 0 then exp(-{{ x }} / 2E00) * {{ even.sum }}
        else {{ erfc('sqrt(' ~ x ~ ' / 2E00)') }}
            + case when {{ df }} > 1 then 1 else 0 end
            * sqrt({{ x }}) * 0.7978845608028654E00
            * exp(-{{ x }} / 2E00) * {{ odd.sum }}
    end
{%- endmacro %}
