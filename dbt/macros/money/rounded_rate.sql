{#
    At least ten digits are kept, however small or large the rate is, and 13 at most, so
    that to_reporting_currency() can multiply without rounding.
#}
{% macro rounded_rate(rate) -%}
    case
        {% for least, decimals in rate_ranges() -%}
            when {{ rate }} >= {{ least }}
                then cast(round({{ rate }}, {{ decimals }}) as decimal(32, 20))
        {% endfor -%}
    end
{%- endmacro %}
