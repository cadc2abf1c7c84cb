{#
    The direction gives the sign of the change, so an amount below zero could mean two
    things. It is counted and in no sum.
#}
{% macro currency_flow_kind(direction, amount) -%}
    case
        when coalesce(lower({{ direction }}), '') not in ('source', 'sink')
            then 'unknown_direction'
        when {{ amount }} is null or {{ amount }} < 0 then 'invalid_amount'
        else lower({{ direction }})
    end
{%- endmacro %}
