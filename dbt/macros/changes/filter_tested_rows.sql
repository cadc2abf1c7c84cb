{#
    Only rows that differ from those of the last recorded run can be wrong in a new way.
    A row without a null in its key is found by its key. If a row with a null there has
    been written, all rows are tested. Two rows that a test of uniqueness compares have
    the same key if the test's columns contain the key. Any other kind of test may
    compare a row with rows of other keys, so it reads all rows.
#}
{% macro filter_tested_rows(unique_id, test) -%}
    {%- set meta = graph.nodes[unique_id].config.meta -%}
    {%- if meta.get('replaced_days') -%}
        {%- set days = tested_days(unique_id) -%}
        {{ return(
            none if days is none else filter_days(meta['replaced_days']['column'], days)
        ) }}
    {%- endif -%}
    {%- set keys = (meta.get('changed_keys') or {}).get('columns', []) -%}
    {%- if test.name in ['unique', 'unique_combination_of_columns'] -%}
        {%- set compared = test.kwargs.get(
            'combination_of_columns', [test.kwargs.get('column_name')]
        ) -%}
        {%- set is_by_key = not keys | reject('in', compared) | list -%}
    {%- else -%}
        {%- set is_by_key = test.name in ['accepted_values', 'never_null', 'not_null']
        -%}
    {%- endif -%}
    {{ return(filter_tested_keys(unique_id) if keys and is_by_key else none) }}
{%- endmacro %}
