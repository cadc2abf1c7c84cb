{#
    Incremental strategy `replace_days`: the rows of the model's replaced days go, the new rows come,
    in one transaction. dbt's delete+insert would keep the rows of a day that became empty, for it
    deletes what the new rows name.
#}
{% macro get_incremental_replace_days_sql(arg_dict) %}
    {% set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) %}
    delete from {{ arg_dict['target_relation'] }}
    where {{ on_replaced_days() }};

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{% endmacro %}
