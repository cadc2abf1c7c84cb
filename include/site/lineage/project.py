"""Follows the columns of a whole dbt project, from the sources to the marts.

Each query is parsed and qualified once, after those of its parents, whose results are its tables.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path
from typing import Any

from sqlglot.errors import SqlglotError

from include.manifest import BUILT_TYPES
from include.site.lineage import cache
from include.site.lineage.cache import NodeLineage
from include.site.lineage.edges import ROWS, Column, ColumnLineage, Edge, Kind, Unresolved
from include.site.lineage.frames import Relation, Use, Uses, unknown
from include.site.lineage.qualified import EPHEMERAL, RelationName
from include.site.lineage.query import Query
from include.site.lineage.templates import NO_FORMS, Forms

Node = Mapping[str, Any]

SNAPSHOT_COLUMNS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")


def column_lineage(
    manifest: Mapping[str, Any],
    dialect: str,
    *,
    forms: Forms = NO_FORMS,
    cache_file: Path | None = None,
) -> ColumnLineage:
    """Find the lineage of all models, snapshots and seeds of a compiled project.

    `manifest` is the content of `manifest.json` after `dbt compile` or a command that compiles all
    nodes. `dialect` is `duckdb` or `redshift`. Each edge names the `forms` that its value passes.
    `cache_file` keeps the results for the next call; without it, all nodes are followed.
    """
    return _Project(manifest, dialect, forms, cache.read(cache_file)).lineage(cache_file)


def kept_lineage(manifest: Mapping[str, Any], cache_file: Path) -> ColumnLineage:
    """The lineage that `cache_file` holds, of a project that has not changed since."""
    kept = cache.read(cache_file)
    columns: dict[str, Sequence[str]] = {
        unique_id: _declared(source) for unique_id, source in manifest.get("sources", {}).items()
    }
    columns |= {unique_id: node.columns for unique_id, node in kept.items()}
    edges = [edge for node in kept.values() for edge in node.edges]
    return ColumnLineage(
        columns=_with_those_of_edges(columns, edges),
        edges=edges,
        unresolved=[column for node in kept.values() for column in node.unresolved],
    )


class _Project:
    def __init__(
        self,
        manifest: Mapping[str, Any],
        dialect: str,
        forms: Forms,
        kept: Mapping[str, NodeLineage],
    ) -> None:
        self._dialect = dialect
        self._forms = forms
        self._kept = kept
        self._sources: Mapping[str, Node] = manifest.get("sources", {})
        self._nodes = {
            unique_id: node
            for unique_id, node in manifest["nodes"].items()
            if node["resource_type"] in BUILT_TYPES
        }
        self._names = {
            unique_id: _relation_name(node)
            for unique_id, node in {**self._sources, **self._nodes}.items()
        }
        self._columns: dict[str, Sequence[str] | None] = {
            unique_id: _declared(source) or None for unique_id, source in self._sources.items()
        }
        self._results: dict[str, NodeLineage] = {}
        self._recomputed: list[str] = []

    def lineage(self, cache_file: Path | None) -> ColumnLineage:
        """Follow all nodes in the order in which dbt builds them."""
        parents = {
            unique_id: [parent for parent in self._parents(node) if parent in self._nodes]
            for unique_id, node in self._nodes.items()
        }
        for unique_id in TopologicalSorter(parents).static_order():
            result = self._followed(unique_id, self._nodes[unique_id])
            self._results[unique_id] = result
            self._columns[unique_id] = result.columns
        cache.write(cache_file, self._results)
        results = self._results.values()
        edges = [edge for result in results for edge in result.edges]
        columns = {unique_id: columns or () for unique_id, columns in self._columns.items()}
        return ColumnLineage(
            columns=_with_those_of_edges(columns, edges),
            edges=edges,
            unresolved=[column for result in results for column in result.unresolved],
            recomputed=self._recomputed,
        )

    def _parents(self, node: Node) -> list[str]:
        return [
            parent
            for parent in node.get("depends_on", {}).get("nodes", ())
            if parent in self._names
        ]

    def _followed(self, unique_id: str, node: Node) -> NodeLineage:
        if node["resource_type"] == "seed":
            return NodeLineage("", _seed_columns(node), (), ())
        tables = {parent: self._columns[parent] for parent in self._parents(node)}
        # An incremental model can read the rows that it has.
        tables[unique_id] = _declared(node) or None
        key = cache.key_of(
            self._dialect,
            metadata.version("sqlglot"),
            self._forms.content,
            node.get("compiled_code"),
            node["config"].get("materialized"),
            _snapshot_key(node),
            [[self._names[table], columns] for table, columns in tables.items()],
        )
        kept = self._kept.get(unique_id)
        if kept is not None and kept.key == key:
            return kept
        self._recomputed.append(unique_id)
        relations = {
            self._names[table]: Relation(table, columns) for table, columns in tables.items()
        }
        return self._computed(unique_id, node, key, relations)

    def _computed(
        self, unique_id: str, node: Node, key: str, relations: Mapping[RelationName, Relation]
    ) -> NodeLineage:
        edges: list[Edge] = []
        unresolved: list[Unresolved] = []
        try:
            if not node.get("compiled_code"):
                raise SqlglotError("the manifest has no compiled SQL of it")
            query = Query(node["compiled_code"], self._dialect, relations, self._forms)
            # A star that is left is a column whose name is not known.
            columns = [name for name in query.root.names if name != ROWS]
            found = [(name, query.root.column(name, ())) for name in query.root.names]
            found.append((ROWS, query.rows()))
        except (SqlglotError, RecursionError) as error:
            columns = _declared(node)
            reason = str(error).split("\n", 1)[0] or type(error).__name__
            found = [(name, unknown(reason)) for name in columns or [ROWS]]
        for name, uses in found:
            target = Column(unique_id, name)
            edges += _edges(uses, target)
            unresolved += [Unresolved(target, use.column) for use in uses if not use.unique_id]
        if node["resource_type"] == "snapshot":
            edges += list(_snapshot_edges(unique_id, node, columns))
            columns += _snapshot_columns(node)
        unresolved += [
            Unresolved(Column(unique_id, name), "the query does not select this column")
            for name in _declared(node)
            if name not in columns
        ]
        return NodeLineage(key, columns, edges, unresolved)


def _with_those_of_edges(
    columns: Mapping[str, Sequence[str]], edges: Sequence[Edge]
) -> Mapping[str, Sequence[str]]:
    """The columns with those that only edges name: of a source that declares no columns."""
    found = {unique_id: dict.fromkeys(names) for unique_id, names in columns.items()}
    for edge in edges:
        for column in (edge.origin, edge.target):
            if column.name != ROWS:
                found.setdefault(column.unique_id, {})[column.name] = None
    return {unique_id: list(names) for unique_id, names in found.items()}


def _edges(uses: Uses, target: Column) -> Iterator[Edge]:
    for use, steps in _least_ended(uses).items():
        # An incremental model that reads itself has no origin there.
        if use.unique_id and use.unique_id != target.unique_id:
            yield Edge(
                Column(use.unique_id, use.column),
                use.path,
                target,
                use.kind,
                steps,
                tuple(sorted(use.through)),
            )


def _least_ended(uses: Uses) -> Uses:
    """Without the uses through more forms than another use that is equal otherwise."""
    through: dict[Use, list[frozenset[str]]] = {}
    for use in sorted(uses, key=lambda use: len(use.through)):
        shortest = through.setdefault(use._replace(through=frozenset()), [])
        if not any(forms <= use.through for forms in shortest):
            shortest.append(use.through)
    return {
        use: steps
        for use, steps in uses.items()
        if use.through in through[use._replace(through=frozenset())]
    }


def _relation_name(node: Node) -> RelationName:
    if node.get("config", {}).get("materialized") == "ephemeral":
        return "", "", f"{EPHEMERAL}{node.get('alias') or node['name']}".lower()
    name = node.get("identifier") or node.get("alias") or node["name"]
    return (node.get("database") or "").lower(), node["schema"].lower(), name.lower()


def _declared(node: Node) -> list[str]:
    return [name.lower() for name in node.get("columns", {})]


def _seed_columns(node: Node) -> list[str]:
    """The columns of the CSV file, or the declared ones if the file is not there."""
    path = Path(node.get("root_path") or "") / node["original_file_path"]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = node["config"].get("delimiter") or ","
            return [name.strip().lower() for name in next(csv.reader(file, delimiter=delimiter))]
    except (FileNotFoundError, StopIteration):
        declared = [*_declared(node), *map(str.lower, node["config"].get("column_types") or ())]
        return list(dict.fromkeys(declared))


def _snapshot_key(node: Node) -> list[Any]:
    names = ("strategy", "unique_key", "updated_at", "hard_deletes", "snapshot_meta_column_names")
    return [node["config"].get(name) for name in names]


def _snapshot_names(node: Node) -> dict[str, str]:
    """The names of the columns that dbt adds, by their usual names."""
    renamed = node["config"].get("snapshot_meta_column_names") or {}
    names = list(SNAPSHOT_COLUMNS)
    if node["config"].get("hard_deletes") == "new_record":
        names.append("dbt_is_deleted")
    return {name: (renamed.get(name) or name).lower() for name in names}


def _snapshot_columns(node: Node) -> list[str]:
    return list(_snapshot_names(node).values())


def _snapshot_edges(unique_id: str, node: Node, columns: Sequence[str]) -> Iterator[Edge]:
    """The columns that dbt adds: an id, which is a hash of the key, and times.

    By the strategy `timestamp` the times are those of the row, otherwise those of the run.
    """
    names = _snapshot_names(node)
    keys = node["config"].get("unique_key") or []
    keys = [keys] if isinstance(keys, str) else keys
    made = {"dbt_scd_id": [str(key).lower() for key in keys]}
    if node["config"].get("strategy") == "timestamp":
        updated_at = str(node["config"].get("updated_at")).lower()
        made |= {name: [updated_at] for name in SNAPSHOT_COLUMNS}
        made["dbt_scd_id"] = [*map(str.lower, keys), updated_at]
    for name, origins in made.items():
        for origin in origins:
            if origin in columns:
                yield Edge(
                    Column(unique_id, origin),
                    "",
                    Column(unique_id, names[name]),
                    Kind.VALUE,
                    ("md5(…)",) if name == "dbt_scd_id" else (),
                )
