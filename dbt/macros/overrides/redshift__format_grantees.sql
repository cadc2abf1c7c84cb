{#
    dbt-redshift writes names without quotes. A name such as IAMR:bi-role, to which an
    administrator may have granted a table, would be a syntax error in every later run.
#}
{% macro redshift__format_grantees(grantees) %}
    {%- set keywords = {'user': '', 'group': 'group ', 'role': 'role '} -%}
    {%- set formatted = [] -%}
    {%- for grantee in grantees -%}
        {%- set kind, _, name = grantee.partition(':') -%}
        {%- if kind not in keywords -%}
            {%- set kind, name = 'user', grantee -%}
        {%- endif -%}
        {%- set quoted = '"' ~ name.replace('"', '""') ~ '"' -%}
        {%- do formatted.append(keywords[kind] ~ quoted) -%}
    {%- endfor -%}
    {{ return(formatted) }}
{% endmacro %}
