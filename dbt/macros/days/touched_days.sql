{# `days_of_run`, or none for "every day": the table does not exist yet, or is rebuilt whole. #}
{% macro touched_days(sources, before=0, after=0) %}
    {% if not is_incremental() %}
        {{ return(none) }}
    {% endif %}
    {{ return(days_of_run(sources, before, after)) }}
{% endmacro %}
