{% macro age_band(age_years) -%}
    case
        when {{ age_years }} < 18 then 'under 18'
        when {{ age_years }} <= 24 then '18-24'
        when {{ age_years }} <= 34 then '25-34'
        when {{ age_years }} <= 44 then '35-44'
        when {{ age_years }} <= 54 then '45-54'
        when {{ age_years }} <= 64 then '55-64'
        when {{ age_years }} >= 65 then '65 and over'
        else 'Unknown'
    end
{%- endmacro %}
