{% macro run_days(sources, before=0, after=0) %}
    {% set days_of_sources = run_query(
        "select distinct day from " ~ generate_schema_name('operations', none)
        ~ ".run_days where source in ('" ~ sources | join("', '") ~ "')"
    ).columns[0].values() %}
    {% set days = [] %}
    {% for day in days_of_sources %}
        {% set date = modules.datetime.date.fromisoformat(day) %}
        {% for days_away in range(-before, after + 1) %}
            {% set distance = modules.datetime.timedelta(days=days_away) %}
            {% do days.append((date + distance).isoformat()) %}
        {% endfor %}
    {% endfor %}
    {{ return(days | unique | sort) }}
{% endmacro %}
