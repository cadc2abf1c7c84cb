{% macro run_days(sources, before=0, after=0) %}
    {% set days = run_query(
        "select distinct day from " ~ generate_schema_name('operations', none)
        ~ ".run_days where source in ('" ~ sources | join("', '") ~ "')"
    ).columns[0].values() %}
    {{ return(with_neighbouring_days(days, before, after)) }}
{% endmacro %}
