{#
    The keys that generic tests check contain the day, so a row of the tested days
    cannot have a duplicate on another day.
#}
{% macro get_where_subquery(relation) -%}
    {%- set node_id = model.attached_node -%}
    {%- if flags.WHICH == 'build' and node_id and not config.get('where') -%}
        {%- set days = tested_days(node_id) -%}
    {%- endif -%}
    {%- if days is not defined or days is none -%}
        {{ return(dbt.get_where_subquery(relation)) }}
    {%- endif -%}
    {%- set column = graph.nodes[node_id].config.meta['replaced_days']['column'] -%}
    (select * from {{ relation }} where {{ filter_days(column, days) }}) as tested
{%- endmacro %}
