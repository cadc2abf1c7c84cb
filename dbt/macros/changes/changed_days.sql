{% macro changed_days(before=0) %}
    {% if not is_incremental() %}
        {{ return(none) }}
    {% endif %}
    {% set key = config.get('meta')['changed_keys']['columns'][0] %}
    {% set days = run_query(
        "select distinct changed_" ~ key ~ " from " ~ changed_keys_table(model.name)
        ~ " where is_built is null"
    ).columns[0].values() %}
    {% if none in days %}
        {{ return(none) }}
    {% endif %}
    {{ return(with_neighbouring_days(days | map('string'), before, 0)) }}
{% endmacro %}
