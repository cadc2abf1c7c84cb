{% macro name_in_json(text, number=none, is_plain='false') -%}
    case
        when {{ is_plain }} then {{ text }}
        {%- if number %}
        when {{ number }} is not null
            then coalesce({{ integer_text(number) }}, {{ text }})
        {%- endif %}
        when not {{ is_json_container(text) }} then {{ text }}
    end
{%- endmacro %}
