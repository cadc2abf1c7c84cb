{% macro retention_columns(is_mature) -%}
    {%- for kind in ['classic', 'rolling', 'return', 'full'] %}
        {{ kind }}_players,
        case when {{ is_mature }} then {{ ratio(kind ~ '_players', 'cohort_size') }} end
            as {{ kind }}_rate{{ "," if not loop.last }}
    {%- endfor %}
{%- endmacro %}
