{% macro get_where_subquery(relation) -%}
    {%- set node_id = model.attached_node -%}
    {%- if execute and flags.WHICH == 'build' and node_id and not config.get('where')
        -%}
        {%- set condition = filter_tested_rows(node_id, model.test_metadata) -%}
    {%- endif -%}
    {%- if not condition -%}
        {{ return(dbt.get_where_subquery(relation)) }}
    {%- endif -%}
    (select * from {{ relation }} where {{ condition }}) as tested
{%- endmacro %}
