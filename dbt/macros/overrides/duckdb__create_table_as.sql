{#
    A table that is built in slices is made of its first slice, and the other slices are
    inserted in the same transaction. Until its end, readers see the old table.
#}
{% macro duckdb__create_table_as(
    temporary, relation, compiled_code, language='sql', partitioned_by=none,
    sorted_by=none
) -%}
    {%- set selects = [compiled_code] if temporary else selects_by_slice(compiled_code)
    -%}
    {{ dbt.duckdb__create_table_as(
        temporary, relation, selects[0], language, partitioned_by, sorted_by
    ) }}
    {{- inserts_of_slices(relation, selects[1:]) }}
{%- endmacro %}
