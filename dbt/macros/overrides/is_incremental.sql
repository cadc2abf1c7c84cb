{#
    dbt's own asks the warehouse whether the table exists before it looks at --full-refresh.
    This one looks first, so that the project compiles without a warehouse.
#}
{% macro is_incremental() %}
    {% if not execute or should_full_refresh() %}
        {{ return(false) }}
    {% endif %}
    {{ return(dbt.is_incremental()) }}
{% endmacro %}
