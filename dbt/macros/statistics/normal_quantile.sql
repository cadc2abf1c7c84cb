{% macro normal_quantile() -%}
    1.959963984540054E00
{%- endmacro %}
