"""Manifests of small projects as dbt writes them, as far as column lineage reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SOURCE, MODEL = "source.p.s", "model.p"


def manifest(
    models: Mapping[str, str],
    sources: Mapping[str, Sequence[str]],
    configs: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Models by name with their SQL, and sources with their columns.

    A model reads all sources and the models before it, as `s.<source>` and `m.<model>`. `configs`
    can change the fields of a model's node.
    """
    nodes: dict[str, Any] = {}
    for name, sql in models.items():
        node = {
            **{"unique_id": f"{MODEL}.{name}", "name": name, "alias": name, "schema": "m"},
            **{"resource_type": "model", "database": "db", "columns": {}},
            "config": {"materialized": "table"},
            "depends_on": {"nodes": [*(f"{SOURCE}.{source}" for source in sources), *nodes]},
            "compiled_code": sql,
        }
        node |= (configs or {}).get(name, {})
        nodes[node["unique_id"]] = node
    return {
        "nodes": nodes,
        "sources": {
            f"{SOURCE}.{name}": {
                **{"unique_id": f"{SOURCE}.{name}", "name": name, "identifier": name},
                **{"resource_type": "source", "database": "db", "schema": "s", "config": {}},
                "columns": {column: {"name": column, "config": {}} for column in columns},
            }
            for name, columns in sources.items()
        },
    }
