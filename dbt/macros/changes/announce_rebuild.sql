{#
    A table that is built as a whole is not compared with what it was before. So each
    model that reads it must be compared as a whole, which one row of nulls among its
    changed keys says. The hook is part of the transaction that makes the table.
#}
{% macro announce_rebuild() %}
    {% if not execute or model.resource_type != 'model' %}
        {{ return('') }}
    {% endif %}
    {% set inputs = inputs_of_consumers() %}
    {% set own = model.config.meta.get('changed_keys') %}
    {% if not inputs and not own %}
        {{ return('') }}
    {% endif %}
    {% if not should_full_refresh() and load_relation(this) is not none %}
        {{ return('') }}
    {% endif %}
    {% set statements = [] %}
    {% if own %}
        {% set table = changed_keys_table(model.name) %}
        {% do statements.append("delete from " ~ table) %}
        {% do statements.append(
            "insert into " ~ table ~ " (changed_" ~ own['columns'][0]
            ~ ", is_built) values (null, true)"
        ) %}
    {% endif %}
    {% for each in inputs %}
        {% do statements.append(
            "insert into " ~ changed_keys_table(each.consumer)
            ~ " (changed_" ~ each['keys'][0] ~ ") values (null)"
        ) %}
    {% endfor %}
    {{ return(statements | unique | join(";\n")) }}
{% endmacro %}
