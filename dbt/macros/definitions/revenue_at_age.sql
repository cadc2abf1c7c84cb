{% macro revenue_at_age(age_days, relation) -%}
    case {{ age_days }}
            {% for age in ltv_ages() -%}
                when {{ age }} then {{ relation }}.revenue_{{ age }}
            {% endfor %}
        end
{%- endmacro %}
