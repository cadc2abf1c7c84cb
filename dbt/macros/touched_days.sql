{#
    The days of this run, as the lake's listing found them, with `before` days ahead of each and
    `after` days behind it. Returns a sorted list of ISO dates, or none for "every day" (the
    table does not exist yet, or is rebuilt whole).

    `sources` names the partitioned sources whose touched partitions count.
#}
{% macro touched_days(sources, before=0, after=0) %}
    {% if not is_incremental() %}
        {{ return(none) }}
    {% endif %}
    {% set touched = run_query(
        "select distinct day from " ~ schema_prefix() ~ "operations.run_days where source in ('"
        ~ sources | join("', '") ~ "')"
    ).columns[0].values() %}
    {% set days = [] %}
    {% for day in touched %}
        {% set date = modules.datetime.date.fromisoformat(day) %}
        {% for shift in range(-before, after + 1) %}
            {% do days.append((date + modules.datetime.timedelta(days=shift)).isoformat()) %}
        {% endfor %}
    {% endfor %}
    {{ return(days | unique | sort) }}
{% endmacro %}
