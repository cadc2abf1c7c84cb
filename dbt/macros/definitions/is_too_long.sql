{#
    Whether a JSON text has more bytes than a column of Redshift can hold (65,535), or was cut there by
    Spectrum: between two characters, so up to three bytes earlier, and no JSON any more.
#}
{% macro is_too_long(text, json) -%}
    ({{ byte_count(text) }} > 65535 or ({{ byte_count(text) }} > 65531 and {{ json }} is null))
{%- endmacro %}
