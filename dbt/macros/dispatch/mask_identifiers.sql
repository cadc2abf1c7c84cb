{#
    dbt makes a new table in each run, and a new table has no masking policies. This
    post-hook runs in the transaction that makes the table, so no reader ever sees the
    table without them. include/warehouse/masking.py makes the policies before, and
    attaches them to the tables of earlier runs.
#}
{% macro mask_identifiers() -%}
    {{ adapter.dispatch('mask_identifiers')() }}
{%- endmacro %}

{% macro duckdb__mask_identifiers() -%}
{%- endmacro %}

{% macro redshift__mask_identifiers() -%}
    {%- set unmasked_readers = env_var(
        'GAME_ANALYTICS_UNMASKED_READERS', 'everyone'
    ) -%}
    {%- set identifiers = [] -%}
    {%- for column in model.columns.values() -%}
        {%- if column.config.meta.personal_data == 'identifier' -%}
            {%- do identifiers.append(column) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if execute and identifiers and unmasked_readers != 'everyone' -%}
        {%- set attached = run_query(
            "select output_columns from svv_attached_masking_policy"
            ~ " where schema_name = '" ~ this.schema ~ "'"
            ~ " and table_name = '" ~ this.identifier ~ "'"
            ~ " and grantee_type = 'public'"
        ).columns[0].values() -%}
        {%- set user = run_query('select current_user').columns[0].values()[0] -%}
        {%- set exempt = ['user:' ~ user] -%}
        {%- if unmasked_readers != 'nobody' -%}
            {%- do exempt.extend(unmasked_readers.split(',')) -%}
        {%- endif -%}
        {%- for column in identifiers
            if tojson([column.name | lower]) not in attached -%}
            {%- set table = this.include(database=false) -%}
            {%- set place = table ~ ' ("' ~ column.name ~ '")' -%}
            {%- set policy = [
                env_var('GAME_ANALYTICS_SCHEMA_PREFIX', ''),
                'game_analytics_{}_',
                column.data_type | lower | replace('(', '_') | replace(')', ''),
            ] | join -%}
            {%- for grantee in redshift__format_grantees(exempt | unique) %}
    attach masking policy "{{ policy.format('unmasked') }}" on {{ place }}
    to {{ grantee }} priority 20;
            {%- endfor %}
    attach masking policy "{{ policy.format('masked') }}" on {{ place }}
    to public priority 10;
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
