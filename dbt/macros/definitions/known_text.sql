{#
    Programs that export tables write a null as one of these words. A literal cannot
    hold a backslash for both engines, because Redshift reads it as an escape character.
#}
{% macro known_text(text) -%}
    case
        when
            lower({{ trimmed(text) }})
            not in ('', chr(92) || 'n', 'null', 'none', 'nan')
            then {{ trimmed(text) }}
    end
{%- endmacro %}
