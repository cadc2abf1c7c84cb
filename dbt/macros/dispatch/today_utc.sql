{# Time zones need an extension on DuckDB, and epoch microseconds need none. #}
{% macro today_utc() -%}
    {{ adapter.dispatch('today_utc')() }}
{%- endmacro %}

{% macro duckdb__today_utc() -%}
    cast(make_timestamp(epoch_us(now())) as date)
{%- endmacro %}

{% macro redshift__today_utc() -%}
    cast(getdate() as date)
{%- endmacro %}
