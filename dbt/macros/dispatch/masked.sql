{% macro masked(json) -%}
    {{ adapter.dispatch('masked')(json) }}
{%- endmacro %}

{% macro personal_keys() -%}
    {{ return([
        'user_id', 'player_id', 'device_id', 'session_id', 'advertising_id', 'email',
        'name', 'ip', 'ip_address'
    ]) }}
{%- endmacro %}

{#
    A value is a string, which lacks its end if the text is cut, or a number or word. Of
    an object, a list and a value in a JSON text that is itself a string, no regular
    expression finds the end, so everything behind it is masked, too. Each alternative
    starts with another character, because DuckDB takes the first one that matches and
    Redshift the longest.
#}
{% macro patterns_of_personal_keys(backslash) -%}
    {%- set space, any = '[[:space:]]*', '(.|[[:space:]])*' -%}
    {%- set value -%}
        ("([^"{{ backslash }}]|{{ backslash }}.)*{{ backslash }}?"?|[{]{{ any }}|[[]
        {{- any }}|{{ backslash }}{{ any }}|[-+.0-9a-zA-Z]+)
    {%- endset -%}
    {%- set separator = space ~ ':' ~ space ~ value -%}
    {%- set patterns = [] -%}
    {%- for key in personal_keys() -%}
        {%- set letters = [] -%}
        {%- for letter in key -%}
            {%- do letters.append(
                letter if letter == '_' else '[' ~ letter | upper ~ letter ~ ']'
            ) -%}
        {%- endfor -%}
        {%- set quoted = '"' ~ letters | join ~ backslash ~ '*"' -%}
        {%- do patterns.append((quoted ~ separator, '"' ~ key ~ '":"***"')) -%}
    {%- endfor -%}
    {#- A key with an escape such as \u005f can be a personal key. -#}
    {%- set escaped = '"[^"]*' ~ backslash ~ 'u[^"]*"' -%}
    {%- do patterns.append((escaped ~ separator, '"***":"***"')) -%}
    {{ return(patterns) }}
{%- endmacro %}

{% macro duckdb__masked(json) -%}
    {%- set masked = namespace(sql=json) -%}
    {%- for pattern, shown in patterns_of_personal_keys('\\\\') -%}
        {%- set masked.sql = "regexp_replace(" ~ masked.sql ~ ", '" ~ pattern ~ "', '"
            ~ shown ~ "', 'g')" -%}
    {%- endfor -%}
    {{ masked.sql }}
{%- endmacro %}

{#
    In a literal of Redshift a backslash is an escape character, so each backslash is
    doubled. Redshift replaces every match, so it needs no flag.
#}
{% macro redshift__masked(json) -%}
    {%- set masked = namespace(sql=json) -%}
    {%- for pattern, shown in patterns_of_personal_keys('\\\\\\\\') -%}
        {%- set masked.sql = "regexp_replace(" ~ masked.sql ~ ", '" ~ pattern ~ "', '"
            ~ shown ~ "')" -%}
    {%- endfor -%}
    {{ masked.sql }}
{%- endmacro %}
