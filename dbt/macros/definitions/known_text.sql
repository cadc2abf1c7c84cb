{#
    Programs that export tables write a null as one of these words. A literal cannot
    hold a backslash for both engines, because Redshift reads it as an escape character.
    One of the words stands outside the list, because DuckDB makes a join of each list
    of five or more words outside a WHERE clause.
#}
{% macro known_text(text) -%}
    case
        when
            lower({{ trimmed(text) }}) not in ('', 'null', 'none', 'nan')
            and lower({{ trimmed(text) }}) <> chr(92) || 'n'
            then {{ trimmed(text) }}
    end
{%- endmacro %}
