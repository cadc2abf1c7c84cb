{#
    Only rows that differ are written, and the keys of these rows are the changed keys
    of the models that read this one. All of it is one transaction: the changed keys of
    this model are deleted exactly if its rows have been replaced. The keys of the rows
    that differ are kept as built keys for the tests of this model.
#}
{% macro get_incremental_replace_changed_rows_sql(arg_dict) %}
    {% set relation = arg_dict['target_relation'] %}
    {% set columns = get_quoted_csv(
        arg_dict['dest_columns'] | map(attribute='name')
    ) %}
    {% set meta = config.get('meta') or {} %}
    {% set old = relation.identifier ~ '__old' %}
    {% set removed = relation.identifier ~ '__removed' %}
    {% set added = relation.identifier ~ '__added' %}
    {% if meta.get('replaced_days') %}
        {% set condition = filter_replaced_days() %}
    {% elif meta.get('changed_keys') %}
        {% set condition = filter_changed_keys() %}
    {% else %}
        {% set condition = 'true' %}
    {% endif %}
    create temporary table {{ old }} as
    select {{ columns }}
    from {{ relation }}
    where {{ condition }};

    create temporary table {{ removed }} as
    select {{ columns }} from {{ old }}
    except
    select {{ columns }} from {{ arg_dict['temp_relation'] }};

    {#
        A key that had two rows loses both of them, and the right one is inserted again.
    #}
    create temporary table {{ added }} as
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
    except
    select {{ columns }} from {{ old }}
    union
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }} as new_rows
    where
        exists (
            select 1
            from {{ removed }}
            where
                {% for key in arg_dict['unique_key'] -%}
                    {{ "and " if not loop.first -}}
                    {{ removed }}.{{ key }} = new_rows.{{ key }}
                {% endfor -%}
        );

    {{ write_changed_keys(removed, added) }}
    delete from {{ relation }}
    using {{ removed }}
    where
        {% for key in arg_dict['unique_key'] -%}
            {{ "and " if not loop.first -}}
            {{ relation.identifier }}.{{ key }} = {{ removed }}.{{ key }}
        {% endfor -%};

    insert into {{ relation }} ({{ columns }})
    select {{ columns }}
    from {{ added }};

    {% if meta.get('changed_keys') -%}
        {%- set keys = meta['changed_keys']['columns'] -%}
        delete from {{ changed_keys_table(model.name) }}
        where is_built is null;

        insert into {{ changed_keys_table(model.name) }}
            (changed_{{ keys | join(', changed_') }}, is_built)
        select
            {{ keys | join(', ') }},
            true
        from (
            select {{ keys | join(', ') }} from {{ removed }}
            union
            select {{ keys | join(', ') }} from {{ added }}
        ) as built;
    {%- endif %}

    drop table {{ old }};

    drop table {{ removed }};

    drop table {{ added }}
{% endmacro %}
