{#
    dbt's own strategy delete+insert deletes only the days that the new rows contain, so
    it would keep the rows of a day that has become empty.
#}
{% macro get_incremental_replace_days_sql(arg_dict) %}
    {% set columns = get_quoted_csv(
        arg_dict['dest_columns'] | map(attribute='name')
    ) %}
    delete from {{ arg_dict['target_relation'] }}
    where {{ filter_replaced_days() }};

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{% endmacro %}
