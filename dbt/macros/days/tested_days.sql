{#
    A run whose tests fail is not recorded as built, so the next run contains its days
    again and tests them again.

    The macro must not check first whether its tables exist. Such a check reads the
    warehouse's catalog, the test's transaction then holds a lock on every view until it
    ends, and dbt's drop of a view would wait forever. Both tables exist before any
    build.
#}
{% macro tested_days(unique_id) %}
    {% if execute %}
        {% set replaced = graph.nodes[unique_id].config.meta.get('replaced_days') %}
    {% endif %}
    {% if not replaced or are_all_rows_tested(unique_id) %}
        {{ return(none) }}
    {% endif %}
    {{ return(run_days(replaced['sources'], replaced['before'], replaced['after'])) }}
{% endmacro %}

{% macro are_all_rows_tested(unique_id) %}
    {{ return(flags.FULL_REFRESH or not run_query(
        "select 1 from " ~ generate_schema_name('operations', none)
        ~ ".built_logic where node = '" ~ unique_id ~ "'"
    ).rows) }}
{% endmacro %}
