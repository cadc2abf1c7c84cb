{% macro masked(json) -%}
    {{ adapter.dispatch('masked')(json) }}
{%- endmacro %}

{% macro personal_keys() -%}
    {{ return([
        'user_id', 'player_id', 'device_id', 'session_id', 'advertising_id', 'email',
        'name', 'ip', 'ip_address'
    ]) }}
{%- endmacro %}

{% macro duckdb__masked(json) -%}
    {%- set value = '("([^"\\\\]|\\\\.)*"|[-+.0-9eE]+|[{][^{}]*[}]|[[][^]]*[]])' -%}
    {%- set masked = namespace(sql=json) -%}
    {%- for key in personal_keys() -%}
        {%- set pattern = '"' ~ key ~ '"\\s*:\\s*' ~ value -%}
        {%- set masked.sql = "regexp_replace(" ~ masked.sql ~ ", '" ~ pattern ~ "', '\""
            ~ key ~ "\":\"***\"', 'g')" -%}
    {%- endfor -%}
    {{ masked.sql }}
{%- endmacro %}

{#
    In a literal of Redshift a backslash is an escape character, so each backslash is
    doubled. Redshift replaces every match, so it needs no flag.
#}
{% macro redshift__masked(json) -%}
    {%- set value
        = '("([^"\\\\\\\\]|\\\\\\\\.)*"|[-+.0-9eE]+|[{][^{}]*[}]|[[][^]]*[]])' -%}
    {%- set masked = namespace(sql=json) -%}
    {%- for key in personal_keys() -%}
        {%- set pattern = '"' ~ key ~ '"[ ]*:[ ]*' ~ value -%}
        {%- set masked.sql = "regexp_replace(" ~ masked.sql ~ ", '" ~ pattern ~ "', '\""
            ~ key ~ "\":\"***\"')" -%}
    {%- endfor -%}
    {{ masked.sql }}
{%- endmacro %}
