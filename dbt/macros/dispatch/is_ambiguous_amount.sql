{#
    1,234 is 1234 with a separator of thousands, and 1.234 with a decimal comma. 0,234
    and 1,2345 can only have a decimal comma.
#}
{% macro is_ambiguous_amount(text) -%}
    {{ adapter.dispatch('is_ambiguous_amount')(text) }}
{%- endmacro %}

{% macro duckdb__is_ambiguous_amount(text) -%}
    coalesce(
        contains({{ text }}, ',')
        and regexp_matches(
            {{ amount_text(text) }}, '^[+-]?[1-9][0-9]{0,2},[0-9]{3}$'
        ),
        false
    )
{%- endmacro %}

{% macro redshift__is_ambiguous_amount(text) -%}
    coalesce({{ amount_text(text) }} ~ '^[+-]?[1-9][0-9]{0,2},[0-9]{3}$', false)
{%- endmacro %}
