{#
    A hook of each incremental model that reads the lake: a full refresh drops the model's rows, also those
    of days that the lake no longer has. It fails then, before anything is dropped. The same rule, for
    runs of single days, is `include/lake/run_days/expiry.py`.
#}
{% macro refuse_to_lose_days() %}
    {% if not should_full_refresh() or load_relation(this) is none %}
        {{ return('') }}
    {% endif %}
    {% set operations = schema_prefix() ~ 'operations' %}
    {% set sources = "('" ~ model['config']['meta']['replaced_days']['sources'] | join("', '") ~ "')" %}
    {% set lost = run_query(
        "select count(distinct built.day), min(built.day), max(built.day)"
        ~ " from " ~ operations ~ ".built_partitions as built"
        ~ " left join " ~ operations ~ ".listed_partitions as listed"
        ~ " on built.source = listed.source and built.day = listed.day"
        ~ " left join " ~ operations ~ ".run_days as run_days"
        ~ " on built.source = run_days.source and built.day = run_days.day"
        ~ " where built.source in " ~ sources ~ " and run_days.day is null and (listed.day is null"
        ~ " or (listed.object_count < built.object_count and listed.changed_at <= built.changed_at))"
    ).rows[0] %}
    {% if lost[0] %}
        {{ exceptions.raise_compiler_error(
            "a full refresh would lose the rows of " ~ lost[0] ~ " days from " ~ lost[1] ~ " to " ~ lost[2]
            ~ ", whose files are no longer in the lake as this run listed it: build the days that are there"
            ~ " with a run from and to, or put the files back. A run with GAME_ANALYTICS_LATE_DAYS"
            ~ " empty gives their rows up"
        ) }}
    {% endif %}
{% endmacro %}
