{#
    DuckDB computes each small file as a batch of its own. A materialized CTE joins the
    batches, which takes less time than it saves if a lake has files of a few hundred
    rows. Redshift has no such word.
#}
{% macro collected() -%}
    {{ adapter.dispatch('collected')() }}
{%- endmacro %}

{% macro duckdb__collected() -%}
    materialized{{ ' ' }}
{%- endmacro %}

{% macro redshift__collected() -%}
{%- endmacro %}
