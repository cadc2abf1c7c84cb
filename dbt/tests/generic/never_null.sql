{#
    A data test: a column that the YAML of a model declares is never null, unless
    `nullable` lists it. The result has the rows with a null. One query reads the table
    once for all columns, whereas dbt's not_null reads it once per column.

    The argument `model` is the relation and hides the variable `model`, which is the
    node of this test. The node is therefore found through `context`. While dbt parses,
    `graph` is empty.
#}
{% test never_null(model, nullable=[]) %}
    {%- set checked = [] -%}
    {%- if execute -%}
        {%- set tested = graph.nodes[context['model'].attached_node] -%}
        {%- set unknown = nullable | reject('in', tested.columns) | list -%}
        {%- set checked = tested.columns | reject('in', nullable) | list -%}
        {%- if unknown or not checked -%}
            {{ exceptions.raise_compiler_error(
                "the test never_null of " ~ tested.name ~ " "
                ~ ("has no column to check" if not unknown else "lists as nullable "
                    ~ unknown | join(', ') ~ ", which the model does not declare")
                ~ ": correct `nullable` or `columns` in dbt/"
                ~ tested.patch_path.split(':')[-1][2:]
            ) }}
        {%- endif -%}
    {%- endif -%}
    select *
    from {{ model }}
    where {{ checked | join(' is null or ') ~ ' is null' if checked else 'false' }}
{% endtest %}
