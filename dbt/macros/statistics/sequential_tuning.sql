{#
    The square of rho in Waudby-Smith et al. (2023), which makes the interval narrowest
    after 5,000 players: (-2 ln(0.05) + ln(-2 ln(0.05) + 1)) / 5000.
#}
{% macro sequential_tuning() -%}
    0.001587230920347513E00
{%- endmacro %}
