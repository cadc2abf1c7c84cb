{#
    The days on which a data test looks at an incremental model: those that this run replaces. None for every
    day: on a full refresh, and until a build of the model has been recorded. A run whose tests fail is not
    recorded either, so that the next one finds its days again.

    Both tables are there before any build: whether they are must not be asked, for a test that reads the
    catalog within its transaction holds every view until its end, and dbt's drop of one waits for ever.
#}
{% macro tested_days(unique_id) %}
    {% set replaced = graph.nodes[unique_id].config.meta.get('replaced_days') if execute else none %}
    {% if not replaced or flags.FULL_REFRESH %}
        {{ return(none) }}
    {% endif %}
    {% if not run_query(
        "select 1 from " ~ schema_prefix() ~ "operations.built_logic where node = '" ~ unique_id ~ "'"
    ).rows %}
        {{ return(none) }}
    {% endif %}
    {{ return(days_of_run(replaced['sources'], replaced['before'], replaced['after'])) }}
{% endmacro %}
