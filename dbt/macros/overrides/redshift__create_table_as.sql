{#
    A table that is built in slices is made of its first slice, and the other slices are
    inserted in the same transaction. Until its end, readers see the old table.
#}
{% macro redshift__create_table_as(temporary, relation, sql) -%}
    {%- set selects = [sql] if temporary else selects_by_slice(sql) -%}
    {{ dbt.redshift__create_table_as(temporary, relation, selects[0]) }}
    {{- inserts_of_slices(relation, selects[1:]) }}
{%- endmacro %}
