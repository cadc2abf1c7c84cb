{#
    If the table `through` does not exist yet, neither does the model that reads it, and
    that model is then built as a whole.
#}
{% macro write_changed_keys(removed, added) -%}
    {%- for each in inputs_of_consumers() -%}
        {%- set input = each.input -%}
        {%- set through = table_of(input.through) if input.through -%}
        {%- if through or not input.through -%}
            {%- set keys = input['columns'] -%}
            {%- set joined = input.get('joined', {}) -%}
            {%- set values = (
                joined.values() if through else keys
            ) | list + input.get('watched', []) -%}
            {%- set source = 'through' if through else 'changed' %}
    insert into {{ changed_keys_table(each.consumer) }}
        (changed_{{ each['keys'] | join(', changed_') }})
    select distinct
        {%- for key in keys %}
        {{ source }}.{{ key }}{{ "," if not loop.last }}
        {%- endfor %}
        {{- " + cast(numbers.number as integer)" if input.after }}
    from (
        {{ one_sided(values, removed, added, input) }}
        union
        {{ one_sided(values, added, removed, input) }}
    ) as changed
            {%- if through %}
    {{ "inner" if joined else "cross" }} join {{ through }} as through
        {{ "on" if joined }}
                {%- for column, value in joined.items() %}
            {{ "and " if not loop.first }}through.{{ column }} = changed.{{ value }}
                {%- endfor %}
            {%- endif %}
            {%- if input.after %}
    inner join {{ numbers(2) }} as numbers on numbers.number <= {{ input.after }}
            {%- endif %}
    where
            {%- for key in keys %}
        {{ "and " if not loop.first }}{{ source }}.{{ key }} is not null
            {%- endfor %}
        {{ "and " ~ input.where if input.where }};
        {%- endif %}
    {%- endfor %}
{%- endmacro %}

{% macro one_sided(columns, relation, other, input) -%}
    {%- set rows_where = "where " ~ input.rows_where if input.rows_where %}
    (
        select {{ columns | join(', ') }} from {{ relation }} {{ rows_where }}
        {%- if input.watched %}
        except select {{ columns | join(', ') }} from {{ other }} {{ rows_where }}
        {%- endif %}
    )
{%- endmacro %}
