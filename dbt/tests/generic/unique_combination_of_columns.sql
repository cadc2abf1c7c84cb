{#
    A data test: no two rows have equal values in all of these columns. Two nulls are
    equal. Each row of the result is one repeated combination, with the number of rows
    that have it.
#}
{% test unique_combination_of_columns(model, combination_of_columns) %}
    select
        {{ combination_of_columns | join(', ') }},
        count(*) as row_count
    from {{ model }}
    group by {{ combination_of_columns | join(', ') }}
    having count(*) > 1
{% endtest %}
