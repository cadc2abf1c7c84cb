{#
    The built keys stay in the table until a run is recorded, and a run whose tests fail
    is not recorded. So the next run tests the same rows again.
#}
{% macro filter_tested_keys(unique_id) -%}
    {%- if not execute or flags.WHICH != 'build' or are_all_rows_tested(unique_id) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set node = graph.nodes[unique_id] -%}
    {%- set keys = node.config.meta['changed_keys']['columns'] -%}
    {%- set table = changed_keys_table(node.name) -%}
    {%- set is_null = "changed_" ~ keys | join(" is null or changed_") ~ " is null" -%}
    {%- set counts = run_query(
        "select count(*), count(case when " ~ is_null ~ " then 1 end) from " ~ table
        ~ " where is_built"
    ).rows[0] -%}
    {%- if counts[1] -%}
        {{ return(none) }}
    {%- elif not counts[0] -%}
        {{ return('false') }}
    {%- elif keys | length == 1 -%}
        {%- set days = run_query(
            "select distinct changed_" ~ keys[0] ~ " from " ~ table ~ " where is_built"
        ).columns[0].values() -%}
        {{ return(filter_days(keys[0], days | map('string') | sort)) }}
    {%- endif -%}
    exists (
        select 1
        from {{ table }} as changes
        where
            changes.is_built
            {% for key in keys -%}
                and changes.changed_{{ key }} = {{ key }}
            {% endfor -%}
    )
{%- endmacro %}
