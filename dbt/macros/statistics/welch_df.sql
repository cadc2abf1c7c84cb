{% macro welch_df(a, a_count, b, b_count) -%}
    ({{ a }} + {{ b }}) * ({{ a }} + {{ b }}) / nullif(
        {{ a }} * {{ a }} / nullif({{ a_count }} - 1E00, 0)
        + {{ b }} * {{ b }} / nullif({{ b_count }} - 1E00, 0),
        0
    )
{%- endmacro %}
