{#
    What a fault test does to a node while it runs: it waits as long as `<lake>/gates/<node>` exists, and breaks
    if `<lake>/broken/<node>` does.
#}
{% macro passes(name) %}
    {%- if execute -%}
    {%- set lake = env_var('GAME_ANALYTICS_LAKE') -%}
    {%- set state = namespace(waits=true) -%}
    {%- for _ in range(3000) if state.waits -%}
        {%- set found = "select count(*) from glob('" ~ lake ~ "/gates/" ~ name ~ "')" -%}
        {%- set state.waits = run_query(found).columns[0].values()[0] > 0 -%}
        {#- DuckDB cannot sleep; this takes about as long as looking again should wait. -#}
        {%- if state.waits -%}{%- do run_query("select sum(range) from range(20000000)") -%}{%- endif -%}
    {%- endfor -%}
    {%- if run_query("select count(*) from glob('" ~ lake ~ "/broken/" ~ name ~ "')").columns[0].values()[0] > 0 -%}
        {{ exceptions.raise_compiler_error(name ~ " is broken on purpose") }}
    {%- endif -%}
    {%- endif -%}
    select 1
{% endmacro %}
