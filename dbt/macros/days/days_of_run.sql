{#
    The days of this run, as the lake's listing found them, with `before` days ahead of each and
    `after` days behind it, as a sorted list of ISO dates.

    `sources` names the partitioned sources whose touched partitions count.
#}
{% macro days_of_run(sources, before=0, after=0) %}
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
