{#
    Labels what the session runs from here on, `<dag>/<run>/<node>`: for WLM's queues, and for the cost of
    each model in SYS_QUERY_HISTORY (320 characters; the older STL_QUERY keeps 30). Airflow tells every
    task's process its DAG and run by these variables.
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
