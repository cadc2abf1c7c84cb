{#
    The days on which a data test looks at an incremental model: those that this run replaces. None for every
    day: on a full refresh, and until a build of the model has been recorded. A run whose tests fail is not
    recorded either, so that the next one finds its days again.
#}
{% macro tested_days(unique_id) %}
    {% set replaced = graph.nodes[unique_id].config.meta.get('replaced_days') if execute else none %}
    {% if not replaced or flags.FULL_REFRESH %}
        {{ return(none) }}
    {% endif %}
    {% set recorded = load_relation(api.Relation.create(
        database=model.database, schema=schema_prefix() ~ 'operations', identifier='built_logic'
    )) %}
    {% if not recorded or not run_query(
        "select 1 from " ~ recorded ~ " where node = '" ~ unique_id ~ "'"
    ).rows %}
        {{ return(none) }}
    {% endif %}
    {{ return(days_of_run(replaced['sources'], replaced['before'], replaced['after'])) }}
{% endmacro %}
