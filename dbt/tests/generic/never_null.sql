{#
    A data test: these columns are never null. One test, and one scan, for all of them, where dbt's
    not_null takes one per column.
#}
{% test never_null(model, columns) %}
    select *
    from {{ model }}
    where {% for column in columns %}{{ column }} is null{{ " or " if not loop.last }}{% endfor %}
{% endtest %}
