{% macro filter_slice(column, slice, before=0, after=0) -%}
    {%- set days = modules.datetime.timedelta -%}
    {%- set conditions = [] -%}
    {%- if slice['first'] -%}
        {%- set first = slice['first'] - days(days=before) -%}
        {%- do conditions.append(column ~ " >= date '" ~ first ~ "'") -%}
    {%- endif -%}
    {%- if slice['last'] -%}
        {%- set last = slice['last'] + days(days=after) -%}
        {%- do conditions.append(column ~ " <= date '" ~ last ~ "'") -%}
    {%- endif -%}
    {{ conditions | join(' and ') or 'true' }}
{%- endmacro %}
