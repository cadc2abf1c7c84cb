{#
    The faults that a test can make a node have: the node waits as long as the file `<lake>/gates/<node>` exists,
    and fails if `<lake>/broken/<node>` exists. `modules.time` comes from `plugins/pauses.py`.
#}
{% macro passes(name) %}
    {%- if execute -%}
    {%- set lake = env_var('GAME_ANALYTICS_LAKE') -%}
    {%- set state = namespace(waits=true) -%}
    {%- for _ in range(3000) if state.waits -%}
        {%- set found = "select count(*) from glob('" ~ lake ~ "/gates/" ~ name ~ "')" -%}
        {%- set state.waits = run_query(found).columns[0].values()[0] > 0 -%}
        {%- if state.waits -%}{%- do modules.time.sleep(0.1) -%}{%- endif -%}
    {%- endfor -%}
    {%- if run_query("select count(*) from glob('" ~ lake ~ "/broken/" ~ name ~ "')").columns[0].values()[0] > 0 -%}
        {{ exceptions.raise_compiler_error(name ~ " is broken on purpose") }}
    {%- endif -%}
    {%- endif -%}
    select 1
{% endmacro %}
