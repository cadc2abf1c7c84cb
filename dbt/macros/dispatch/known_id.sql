{#
    The blanks are those of ASCII, the no-break space, the ideographic space, the
    zero-width space and the byte order mark.
#}
{% macro known_id(text) -%}
    {{ adapter.dispatch('known_id')(text) }}
{%- endmacro %}

{% macro no_id_pattern() -%}
    null|undefined|none|0*|0{8}-0{4}-0{4}-0{4}-0{12}
{%- endmacro %}

{% macro duckdb__known_id(text) -%}
    {%- set blanks = '[\t\n\x0b\f\r \u00a0\u3000\u200b\ufeff]*' -%}
    case
        when not regexp_matches(
            {{ text }}, '(?i)^{{ blanks }}({{ no_id_pattern() }}){{ blanks }}$'
        )
            then {{ text }}
    end
{%- endmacro %}

{% macro redshift__known_id(text) -%}
    {%- set blanks = "chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || ' \u00a0"
        ~ "\u3000\u200b\ufeff'" -%}
    case
        when
            ltrim(rtrim(lower({{ text }}), {{ blanks }}), {{ blanks }})
            !~ '^({{ no_id_pattern() }})$'
            then {{ text }}
    end
{%- endmacro %}
