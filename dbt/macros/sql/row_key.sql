{#
    The length in front of each part shows where the part ends. Without it, the parts
    'a|b' and 'c' would give the same text as the parts 'a' and 'b|c'.
#}
{% macro row_key(parts) -%}
    md5(
    {%- for part in parts %}
        {% if not loop.first %}|| {% endif -%}
        cast(length({{ part }}) as varchar(10)) || ':' || {{ part }}
    {%- endfor %}
    )
{%- endmacro %}
