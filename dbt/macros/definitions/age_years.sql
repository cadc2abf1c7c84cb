{#
    Whoever was born on 29 February completes a year of age on 1 March if the year has
    no such day.
#}
{% macro age_years(birth_date, day) -%}
    cast(extract(year from {{ day }}) as integer)
    - cast(extract(year from {{ birth_date }}) as integer)
    - case
        when
            extract(month from {{ day }}) * 100 + extract(day from {{ day }})
            < extract(month from {{ birth_date }}) * 100
            + extract(day from {{ birth_date }})
            then 1
        else 0
    end
{%- endmacro %}
