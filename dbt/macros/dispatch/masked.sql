{#
    JSON text in which the value of each key that can identify a person is replaced by ***. The value is
    a string with its escapes, or a number.
#}
{% macro masked(json) -%}
    {{ adapter.dispatch('masked')(json) }}
{%- endmacro %}

{% macro personal_keys() -%}
    user_id|player_id|device_id|session_id|email|name|ip|ip_address|advertising_id
{%- endmacro %}

{% macro duckdb__masked(json) -%}
    regexp_replace(
        {{ json }},
        '"({{ personal_keys() }})"\s*:\s*("([^"\\]|\\.)*"|[-+.0-9eE]+)',
        '"\1":"***"',
        'g'
    )
{%- endmacro %}

{# A backslash inside a literal is itself escaped on Redshift. #}
{% macro redshift__masked(json) -%}
    regexp_replace(
        {{ json }},
        '"({{ personal_keys() }})"\\s*:\\s*("([^"\\\\]|\\\\.)*"|[-+.0-9eE]+)',
        '"$1":"***"'
    )
{%- endmacro %}
