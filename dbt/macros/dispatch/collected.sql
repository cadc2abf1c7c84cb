{#
    DuckDB computes each small file as a batch of its own. A materialized CTE holds all
    rows and joins the batches, which saves more time than it takes if files have a few
    hundred rows. It is used for a slice only, whose size is limited: a run can have the
    days of the whole history. Redshift has no such word.
#}
{% macro collected() -%}
    {{ adapter.dispatch('collected')() }}
{%- endmacro %}

{% macro duckdb__collected() -%}
    {{- 'materialized ' if model['slice'] is defined -}}
{%- endmacro %}

{% macro redshift__collected() -%}
{%- endmacro %}
