{#
    The days are literals, so that an engine skips the blocks of all other days. A model
    must still join each row with the as-of day of its own application.
#}
{% macro filter_trailing_days(column, calendar, days) -%}
    {%- if not is_incremental() -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set as_of_days = run_query(
        "select distinct as_of_date from (select max(activity_date) as as_of_date from "
        ~ calendar ~ " group by application_id) as as_of_days order by 1"
    ).columns[0].values() -%}
    {%- if not as_of_days -%}
        {{ return('false') }}
    {%- endif -%}
    (
        {%- for as_of_date in as_of_days %}
            {{ "or " if not loop.first }}{{ column }}
            between date '{{ as_of_date }}' - {{ days - 1 }} and date '{{ as_of_date }}'
        {%- endfor %}
    )
{%- endmacro %}
