{% macro table_of(name) %}
    {% for node in graph.nodes.values()
        if node.resource_type == 'model' and node.name == name %}
        {{ return(load_relation(api.Relation.create(
            database=node.database, schema=node.schema, identifier=node.alias
        ))) }}
    {% endfor %}
{% endmacro %}
