{#
    dbt knows all nodes only while it runs. While it parses, `graph` is empty.
#}
{% macro inputs_of_consumers() %}
    {% set found = [] %}
    {% for node in graph.nodes.values() if execute and node.resource_type == 'model' %}
        {% set changed_keys = node.config.meta.get('changed_keys') or {} %}
        {% for input in changed_keys.get('inputs', []) if input.model == model.name %}
            {% do found.append({
                'consumer': node.name, 'keys': changed_keys['columns'], 'input': input
            }) %}
        {% endfor %}
    {% endfor %}
    {{ return(found) }}
{% endmacro %}
