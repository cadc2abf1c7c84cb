{# The counts of each kind of retention and their rates, which are null until the cohort is mature. #}
{% macro retention_rates(is_mature) -%}
    {%- for kind in ['classic', 'rolling', 'return', 'full'] %}
        {{ kind }}_players,
        case when {{ is_mature }} then {{ ratio(kind ~ '_players', 'cohort_size') }} end
            as {{ kind }}_rate{{ "," if not loop.last }}
    {%- endfor %}
{%- endmacro %}
