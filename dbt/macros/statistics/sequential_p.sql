{#
    The p value that belongs to the same confidence sequence: it is below 0.05 exactly
    if the sequence's interval leaves out 0. An exponent below -700 gives 0, because
    PostgreSQL fails when exp() underflows.
#}
{% macro sequential_p(difference, squared_error, player_count) -%}
    {%- set spread -%}
        ({{ player_count }} * {{ sequential_tuning() }} + 1E00)
    {%- endset -%}
    {%- set exponent -%}
        (
            {{ sequential_tuning() }} * {{ difference }} * {{ difference }}
            / {{ squared_error }} * {{ player_count }} / (2E00 * {{ spread }})
        )
    {%- endset -%}
    case
        when {{ exponent }} > 700 then 0
        when {{ exponent }} <= ln({{ spread }}) / 2E00 then 1
        when {{ exponent }} <= 700
            then sqrt({{ spread }}) * exp(-{{ exponent }})
    end
{%- endmacro %}
