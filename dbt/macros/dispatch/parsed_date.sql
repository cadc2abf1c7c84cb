{% macro parsed_date(text) -%}
    {{ adapter.dispatch('parsed_date')(text) }}
{%- endmacro %}

{# Without the pattern DuckDB would also accept 1990/1/31, epoch and infinity. #}
{% macro duckdb__parsed_date(text) -%}
    case
        when regexp_matches({{ trimmed(text) }}, '^[1-9][0-9]{0,5}([.]0+)?$')
            then date '1899-12-30'
                + cast(split_part({{ trimmed(text) }}, '.', 1) as integer)
        when regexp_matches({{ trimmed(text) }}, '^[0-9]{4}-[0-9]{2}-[0-9]{2}')
            then try_cast(left({{ trimmed(text) }}, 10) as date)
    end
{%- endmacro %}

{#
    to_date() that is not strict makes a day of March out of February 30. The comparison
    with the text makes such a date null.
#}
{% macro redshift__parsed_date(text) -%}
    {%- set day = "left(" ~ trimmed(text) ~ ", 10)" -%}
    {%- set date = "to_date(" ~ day ~ ", 'YYYY-MM-DD', false)" -%}
    case
        when {{ trimmed(text) }} ~ '^[1-9][0-9]{0,5}([.]0+)?$'
            then date '1899-12-30'
                + cast(split_part({{ trimmed(text) }}, '.', 1) as integer)
        when {{ trimmed(text) }} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
            then case
                when to_char({{ date }}, 'YYYY-MM-DD') = {{ day }} then {{ date }}
            end
    end
{%- endmacro %}
