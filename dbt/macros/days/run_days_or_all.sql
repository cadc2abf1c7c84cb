{% macro run_days_or_all(sources, before=0, after=0) %}
    {% if not is_incremental() %}
        {{ return(none) }}
    {% endif %}
    {{ return(run_days(sources, before, after)) }}
{% endmacro %}
