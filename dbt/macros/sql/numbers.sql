{% macro numbers(digits) -%}
    (
        select
            {% for place in range(digits) -%}
                digit_{{ place }}.value * {{ 10 ** place }}{{ " + " if not loop.last }}
            {%- endfor %} as number
        from
            {% for place in range(digits) -%}
                {{ "cross join " if not loop.first }}(
                    {% for value in range(10) -%}
                        select {{ value }} as value{{ " union all " if not loop.last }}
                    {%- endfor %}
                ) as digit_{{ place }}
            {% endfor %}
    )
{%- endmacro %}
