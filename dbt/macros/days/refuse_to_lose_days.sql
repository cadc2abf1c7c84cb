{#
    A full refresh drops all rows of the model and builds them from the lake, so days
    whose files the lake no longer has would be lost. A hook runs before anything is
    dropped.

    `include/lake/run_days/expiry.py` applies the same rule to runs that build single
    days.
#}
{% macro refuse_to_lose_days() %}
    {% if not should_full_refresh() or load_relation(this) is none %}
        {{ return('') }}
    {% endif %}
    {% set operations = generate_schema_name('operations', none) %}
    {% set sources = model['config']['meta']['replaced_days']['sources'] %}
    {% set lost = run_query(
        "select count(distinct built.day), min(built.day), max(built.day)"
        ~ " from " ~ operations ~ ".built_partitions as built"
        ~ " left join " ~ operations ~ ".listed_partitions as listed"
        ~ " on built.source = listed.source and built.day = listed.day"
        ~ " left join " ~ operations ~ ".run_days as run_days"
        ~ " on built.source = run_days.source and built.day = run_days.day"
        ~ " where built.source in ('" ~ sources | join("', '") ~ "')"
        ~ " and run_days.day is null and (listed.day is null"
        ~ " or (listed.object_count < built.object_count"
        ~ " and listed.changed_at <= built.changed_at))"
    ).rows[0] %}
    {% if lost[0] %}
        {{ exceptions.raise_compiler_error(
            "a full refresh would lose the rows of " ~ lost[0] ~ " days from " ~ lost[1]
            ~ " to " ~ lost[2] ~ ", because this run did not find all of their files in"
            ~ " the lake: put the files back; or build only the days that still have"
            ~ " their files, with a manual run of the DAG with from and to; or give up"
            ~ " the rows of these days with a run in which GAME_ANALYTICS_LATE_DAYS is"
            ~ " empty (include/aws/operations.md, A full refresh that is refused)."
        ) }}
    {% endif %}
{% endmacro %}
