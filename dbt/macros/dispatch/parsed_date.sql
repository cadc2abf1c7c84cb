{# A date from ISO text or a spreadsheet's day number (days since 1899-12-30); null if it is neither. #}
{% macro parsed_date(text) -%}
    {{ adapter.dispatch('parsed_date')(text) }}
{%- endmacro %}

{# Without the pattern DuckDB alone would take 1990/1/31, epoch and infinity too. #}
{% macro duckdb__parsed_date(text) -%}
    case
        when regexp_matches({{ trimmed(text) }}, '^[1-9][0-9]{0,5}([.]0+)?$')
            then date '1899-12-30' + cast(split_part({{ trimmed(text) }}, '.', 1) as integer)
        when regexp_matches({{ trimmed(text) }}, '^[0-9]{4}-[0-9]{2}-[0-9]{2}')
            then try_cast(left({{ trimmed(text) }}, 10) as date)
    end
{%- endmacro %}

{# to_date without strictness turns the 30th of February into March: such a date is none. #}
{% macro redshift__parsed_date(text) -%}
    case
        when {{ trimmed(text) }} ~ '^[1-9][0-9]{0,5}([.]0+)?$'
            then date '1899-12-30' + cast(split_part({{ trimmed(text) }}, '.', 1) as integer)
        when {{ trimmed(text) }} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
            then case
                when to_char(to_date(left({{ trimmed(text) }}, 10), 'YYYY-MM-DD', false), 'YYYY-MM-DD')
                    = left({{ trimmed(text) }}, 10)
                    then to_date(left({{ trimmed(text) }}, 10), 'YYYY-MM-DD', false)
            end
    end
{%- endmacro %}
