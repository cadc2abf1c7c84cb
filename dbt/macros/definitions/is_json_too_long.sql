{#
    Spectrum cuts a text at 65,535 bytes, and up to three bytes earlier where a
    character would be split. A text that was cut is no valid JSON any more.
#}
{% macro is_json_too_long(text, json) -%}
    (
        {{ byte_count(text) }} > 65535
        or ({{ byte_count(text) }} > 65531 and {{ json }} is null)
    )
{%- endmacro %}
