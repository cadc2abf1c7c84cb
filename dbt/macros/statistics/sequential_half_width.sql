{#
    The asymptotic confidence sequence of Waudby-Smith et al. (2023, "Time-uniform
    central limit theory and asymptotic confidence sequences", theorem 2.2) at 95 %.
#}
{% macro sequential_half_width(squared_error, player_count) -%}
    {%- set spread -%}
        ({{ player_count }} * {{ sequential_tuning() }} + 1E00)
    {%- endset -%}
    sqrt(
        {{ squared_error }} * 2E00 * {{ spread }}
        / ({{ player_count }} * {{ sequential_tuning() }})
        * ln(sqrt({{ spread }}) / 0.05E00)
    )
{%- endmacro %}
