{#
    The columns of the table of changed keys have names of their own. So a column of the
    outer query needs no alias in the subquery.
#}
{% macro filter_changed_keys(columns=none) -%}
    {%- if not is_incremental() -%}
        {#- While dbt parses, and in a unit test, `config` holds no `meta` to read. -#}
        {{ return('true') }}
    {%- endif -%}
    {%- set keys = config.get('meta')['changed_keys']['columns'] -%}
    {%- set table = changed_keys_table(model.name) -%}
    {%- set counts = run_query(
        "select count(*), count(changed_" ~ keys[0] ~ ") from " ~ table
        ~ " where is_built is null"
    ).rows[0] -%}
    {%- if counts[0] > counts[1] -%}
        true
    {%- elif not counts[0] -%}
        false
    {%- elif keys | length == 1 -%}
        {{ filter_days((columns or keys)[0], changed_days()) }}
    {%- else -%}
        exists (
            select 1
            from {{ table }} as changes
            where
                changes.is_built is null
                {% for key in keys -%}
                    and changes.changed_{{ key }} = {{ (columns or keys)[loop.index0] }}
                {% endfor -%}
        )
    {%- endif -%}
{%- endmacro %}
