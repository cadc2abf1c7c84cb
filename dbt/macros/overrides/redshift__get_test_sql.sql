{#
    Hooks run for models, seeds and snapshots, but not for tests, so the label of a test
    is set here.
#}
{% macro redshift__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
    {% do run_query(set_query_group()) %}
    {{ default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) }}
{%- endmacro %}
