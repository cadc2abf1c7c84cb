{#
    JSON text in which the value of each key that can identify a person is replaced by ***: a string with
    its escapes, a number, or a flat object or list.
#}
{% macro masked(json) -%}
    {{ adapter.dispatch('masked')(json) }}
{%- endmacro %}

{% macro personal_keys() -%}
    {{ return([
        'user_id', 'player_id', 'device_id', 'session_id', 'advertising_id', 'email', 'name', 'ip',
        'ip_address'
    ]) }}
{%- endmacro %}

{% macro duckdb__masked(json) -%}
    {%- set text = namespace(sql=json) -%}
    {%- for key in personal_keys() -%}
        {%- set text.sql = "regexp_replace(" ~ text.sql ~ ", '\"" ~ key
            ~ "\"\\s*:\\s*(\"([^\"\\\\]|\\\\.)*\"|[-+.0-9eE]+|[{][^{}]*[}]|[[][^]]*[]])', '\"" ~ key ~ "\":\"***\"', 'g')" -%}
    {%- endfor -%}
    {{ text.sql }}
{%- endmacro %}

{# A backslash inside a literal is itself escaped on Redshift; every match is replaced. #}
{% macro redshift__masked(json) -%}
    {%- set text = namespace(sql=json) -%}
    {%- for key in personal_keys() -%}
        {%- set text.sql = "regexp_replace(" ~ text.sql ~ ", '\"" ~ key
            ~ "\"[ ]*:[ ]*(\"([^\"\\\\\\\\]|\\\\\\\\.)*\"|[-+.0-9eE]+|[{][^{}]*[}]|[[][^]]*[]])', '\"" ~ key ~ "\":\"***\"')" -%}
    {%- endfor -%}
    {{ text.sql }}
{%- endmacro %}
