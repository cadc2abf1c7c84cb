{#
    Redshift's texts cannot hold the zero character, so its escape becomes that of the
    replacement character U+FFFD, which has as many bytes. An escaped backslash in front
    of `u0000` is replaced too. DuckDB copies a text in which it replaces nothing, so it
    searches first. Redshift may read the column many times, so there it is one plain
    call.
#}
{% macro without_zero_characters(json) -%}
    {{ adapter.dispatch('without_zero_characters')(json) }}
{%- endmacro %}

{% macro duckdb__without_zero_characters(json) -%}
    case
        when contains({{ json }}, chr(92) || 'u0000')
            then replace({{ json }}, chr(92) || 'u0000', chr(92) || 'ufffd')
        else {{ json }}
    end
{%- endmacro %}

{% macro redshift__without_zero_characters(json) -%}
    replace({{ json }}, chr(92) || 'u0000', chr(92) || 'ufffd')
{%- endmacro %}
