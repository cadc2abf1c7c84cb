{% macro epoch_to_timestamp(seconds) -%}
    {{ adapter.dispatch('epoch_to_timestamp')(seconds) }}
{%- endmacro %}

{% macro duckdb__epoch_to_timestamp(seconds) -%}
    make_timestamp({{ seconds }} * 1000000)
{%- endmacro %}

{% macro redshift__epoch_to_timestamp(seconds) -%}
    timestamp '1970-01-01 00:00:00' + {{ seconds }} * interval '1 second'
{%- endmacro %}
