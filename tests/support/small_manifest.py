"""Manifests of small projects as dbt writes them, as far as column lineage reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

SOURCE, MODEL = "source.p.s", "model.p"
READ = re.compile(r"\b([sm])\.(\w+)", re.IGNORECASE)


def manifest(
    models: Mapping[str, str],
    sources: Mapping[str, Sequence[str]],
    configs: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Models by name with their SQL, and sources with their columns.

    A model depends on the sources and models that its SQL names, as `s.<source>` and `m.<model>`.
    `configs` can change the fields of a model's node.
    """
    nodes: dict[str, Any] = {}
    for name, sql in models.items():
        node: dict[str, Any] = {
            **{"unique_id": f"{MODEL}.{name}", "name": name, "alias": name, "schema": "m"},
            **{"resource_type": "model", "database": "db", "columns": {}},
            "config": {"materialized": "table"},
            "depends_on": {"nodes": _parents(name, sql)},
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


def _parents(name: str, sql: str) -> list[str]:
    read = {
        f"{SOURCE if schema in 'sS' else MODEL}.{table.lower()}"
        for schema, table in READ.findall(sql)
    }
    return sorted(read - {f"{MODEL}.{name}"})
