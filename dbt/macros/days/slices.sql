{#
    A model whose meta has `in_slices` is built in ranges of days when all its rows are
    built, so that the memory it needs follows a range and not the history. The listing
    knows the size of each day's files, so a slice is as many days as have
    `largest_slice_bytes` together, and at least one. The first slice has no first day
    and the last one no last day, so that together they hold every row.

    dbt's own microbatch commits batch by batch, so readers would see a part of the rows
    and a killed full refresh would lose the others. It also makes a batch of each day.
#}
{% macro slices() %}
    {% set operations = generate_schema_name('operations', none) %}
    {% set sources = model['config']['meta']['replaced_days']['sources'] %}
    {% set days = run_query(
        "select day, sum(byte_count) from (select source, day, max(byte_count)"
        ~ " as byte_count from (select source, day, byte_count from " ~ operations
        ~ ".listed_partitions union all select source, day, byte_count from "
        ~ operations ~ ".built_partitions) as partitions where source in ('"
        ~ sources | join("', '") ~ "') group by 1, 2) as days group by 1 order by 1"
    ).rows %}
    {% set first_days = [none] %}
    {% set size = namespace(bytes=0) %}
    {% for day, byte_count in days %}
        {% if size.bytes and size.bytes + byte_count > var('largest_slice_bytes') %}
            {% do first_days.append(modules.datetime.date.fromisoformat(day)) %}
            {% set size.bytes = 0 %}
        {% endif %}
        {% set size.bytes = size.bytes + byte_count %}
    {% endfor %}
    {% set found = [] %}
    {% for first in first_days %}
        {% set last = none if loop.last
            else loop.nextitem - modules.datetime.timedelta(days=1) %}
        {% do found.append({'first': first, 'last': last}) %}
    {% endfor %}
    {{ return(found) }}
{% endmacro %}

{#
    dbt renders the model again for each slice. The slice is an entry of `model`, which
    all macros of the model's context share.
#}
{% macro selects_by_slice(select) %}
    {% if not model['config'].get('meta', {}).get('in_slices') %}
        {{ return([select]) }}
    {% endif %}
    {% set selects = [] %}
    {% for slice in slices() %}
        {% do model.update({'slice': slice}) %}
        {% do selects.append(render(model['raw_code'])) %}
    {% endfor %}
    {% do model.pop('slice') %}
    {{ return(selects) }}
{% endmacro %}

{% macro inserts_of_slices(relation, selects) %}
    {%- for select in selects %}
    insert into {{ relation }}
    {{ get_select_subquery(select) if config.get('contract').enforced else select }};
    {%- endfor %}
{% endmacro %}
