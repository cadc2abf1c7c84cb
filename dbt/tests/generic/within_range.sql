{# A data test: no value of the column is below the least or above the most. #}
{% test within_range(model, column_name, least, most) %}
    select *
    from {{ model }}
    where {{ column_name }} < {{ least }} or {{ column_name }} > {{ most }}
{% endtest %}
