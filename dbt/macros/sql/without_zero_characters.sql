{#
    Redshift's texts cannot hold the zero character, so its escape becomes that of the
    replacement character U+FFFD, which has as many bytes. The column is read many
    times, so this is one plain call: an escaped backslash in front of `u0000` is
    replaced too.
#}
{% macro without_zero_characters(json) -%}
    replace({{ json }}, chr(92) || 'u0000', chr(92) || 'ufffd')
{%- endmacro %}
