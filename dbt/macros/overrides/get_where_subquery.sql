{#
    What a generic test reads. dbt's own, and of an incremental model only the days that a build replaces: their
    keys hold the day, so that no row of another day can be their double. `dbt test` by hand looks at all.
#}
{% macro get_where_subquery(relation) -%}
    {%- set is_bounded = flags.WHICH == 'build' and model.attached_node and not config.get('where') -%}
    {%- set days = tested_days(model.attached_node) if is_bounded else none -%}
    {%- if days is none -%}
        {{ return(dbt.get_where_subquery(relation)) }}
    {%- endif -%}
    {%- set column = graph.nodes[model.attached_node].config.meta['replaced_days']['column'] -%}
    (select * from {{ relation }} where {{ in_days(column, days) }}) as tested
{%- endmacro %}
