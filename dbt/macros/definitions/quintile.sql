{#
    The ranks are compared as whole numbers, so both engines give the same score.
    ntile() would give rows with equal values different scores, in an order of its own.
#}
{% macro quintile(lower_count, row_count) -%}
    case
        {% for score in [5, 4, 3, 2] -%}
            when 5 * {{ lower_count }} >= {{ score - 1 }} * {{ row_count }}
                then {{ score }}
        {% endfor -%}
        else 1
    end
{%- endmacro %}
