{#
    Airflow sets AIRFLOW_CTX_DAG_ID and AIRFLOW_CTX_DAG_RUN_ID in the environment of the
    process of each task. SYS_QUERY_HISTORY keeps 320 characters of a label, and the
    older STL_QUERY keeps 30.
#}
{% macro set_query_group() -%}
    {{ adapter.dispatch('set_query_group')() }}
{%- endmacro %}

{% macro duckdb__set_query_group() -%}
{%- endmacro %}

{% macro redshift__set_query_group() -%}
    {%- set label = [
        env_var('AIRFLOW_CTX_DAG_ID', 'command line'),
        env_var('AIRFLOW_CTX_DAG_RUN_ID', invocation_id),
        model.name
    ] | join('/') -%}
    set query_group to '{{ label[:320] | replace("'", "") }}'
{%- endmacro %}
