{% macro with_neighbouring_days(days, before, after) %}
    {% set found = [] %}
    {% for day in days %}
        {% set date = modules.datetime.date.fromisoformat(day) %}
        {% for days_away in range(-before, after + 1) %}
            {% set distance = modules.datetime.timedelta(days=days_away) %}
            {% do found.append((date + distance).isoformat()) %}
        {% endfor %}
    {% endfor %}
    {{ return(found | unique | sort) }}
{% endmacro %}
