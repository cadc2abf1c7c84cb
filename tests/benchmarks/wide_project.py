"""Generates the artifacts of a dbt project with 1,000 models and 20,000 columns, without dbt.

The SQL has the form of a usual project on DuckDB: import CTEs, renamed and computed columns, joins,
windows, unions and aggregates. `manifest.json` and `catalog.json` have what lineage tools read of
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES, STAGING, INTERMEDIATE, MARTS = 50, 200, 400, 400
COLUMNS = 20
DATABASE, SCHEMA, PROJECT = "wide", "main", "wide"
NAMES = tuple(f"c{number:02}" for number in range(COLUMNS))


@dataclass(frozen=True)
class Table:
    """A source or model. A source has no SQL."""

    unique_id: str
    sql: str = ""
    parents: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in the warehouse."""
        return self.unique_id.rsplit(".", 1)[-1]


def tables() -> Iterator[Table]:
    """Yield all sources and models, each after its parents."""
    sources = [f"source.{PROJECT}.lake.src_{number:03}" for number in range(SOURCES)]
    yield from map(Table, sources)
    staging = [_model(f"stg_{number:03}") for number in range(STAGING)]
    for number, unique_id in enumerate(staging):
        parent = sources[number % SOURCES]
        yield Table(unique_id, _staging(parent), (parent,))
    above = staging
    for layer in range(2):
        names = [_model(f"int_{layer}_{number:03}") for number in range(INTERMEDIATE // 2)]
        for number, unique_id in enumerate(names):
            parents = (above[number], above[(number * 7 + 3) % len(above)])
            yield Table(unique_id, _joined(*parents), parents)
        above = names
    for number in range(MARTS):
        parents = (above[number % len(above)], above[(number * 11 + 5) % len(above)])
        sql = _aggregated(parents[0]) if number % 2 else _united(*parents)
        yield Table(_model(f"rpt_{number:03}"), sql, parents[: 1 if number % 2 else 2])


def write(folder: Path, changed: str = "") -> None:
    """Write both artifacts into the folder; the model named `changed` has another filter."""
    manifest: dict[str, Any] = {
        "metadata": {"adapter_type": "duckdb", "project_name": PROJECT, "dbt_version": "1.11.16"},
        **{
            name: {}
            for name in ("nodes", "sources", "exposures", "macros", "parent_map", "child_map")
        },
    }
    catalog: dict[str, Any] = {"metadata": {}, "nodes": {}, "sources": {}}
    for table in tables():
        kind = "nodes" if table.sql else "sources"
        manifest[kind][table.unique_id] = _node(table, table.name == changed)
        manifest["parent_map"][table.unique_id] = list(table.parents)
        manifest["child_map"].setdefault(table.unique_id, [])
        for parent in table.parents:
            manifest["child_map"][parent].append(table.unique_id)
        catalog[kind][table.unique_id] = {
            "metadata": {
                **{"type": "VIEW", "database": DATABASE, "schema": SCHEMA},
                **{"name": table.name, "comment": None, "owner": None},
            },
            "columns": {
                name: {"type": "VARCHAR", "index": index, "name": name, "comment": None}
                for index, name in enumerate(NAMES, start=1)
            },
            **{"stats": {}, "unique_id": table.unique_id},
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "catalog.json").write_text(json.dumps(catalog))


def _node(table: Table, is_changed: bool) -> dict[str, Any]:
    path = f"models/{table.name}.sql"
    sql = table.sql + ("where c00 <> 'changed'\n" if is_changed else "")
    return {
        **{"unique_id": table.unique_id, "name": table.name, "alias": table.name},
        **{"identifier": table.name, "database": DATABASE, "schema": SCHEMA},
        "resource_type": "model" if table.sql else "source",
        "relation_name": _relation(table.unique_id),
        "columns": {
            name: {
                **{"name": name, "description": f"Column {name}.", "data_type": "varchar"},
                **{"meta": {}, "config": {"meta": {}, "tags": []}, "tags": [], "quote": None},
            }
            for name in NAMES
        },
        "config": {"materialized": "view", "meta": {}, "tags": []},
        "depends_on": {"nodes": list(table.parents), "macros": []},
        **{"raw_code": sql, "compiled_code": sql, "refs": [], "tags": [], "meta": {}},
        **{"path": path, "original_file_path": path, "description": "", "package_name": PROJECT},
    }


def _model(name: str) -> str:
    return f"model.{PROJECT}.{name}"


def _relation(unique_id: str) -> str:
    return f'"{DATABASE}"."{SCHEMA}"."{unique_id.rsplit(".", 1)[-1]}"'


def _list(expressions: list[str]) -> str:
    return ",\n        ".join(expressions)


def _imported(name: str, parent: str) -> str:
    return f"{name} as (\n    select\n        {_list(list(NAMES))}\n    from {_relation(parent)}\n)"


def _staging(parent: str) -> str:
    columns = [f"nullif(trim({name}), '') as {name}" for name in NAMES[:8]]
    columns += [f"cast({name} as varchar) as {name}" for name in NAMES[8:14]] + list(NAMES[14:])
    return (
        f"with raw as (\n    select * from {_relation(parent)}\n),\n\nfinal as (\n    select\n"
        f"        {_list(columns)}\n    from raw\n)\n\nselect * from final\n"
    )


def _joined(one: str, other: str) -> str:
    columns = [f"one.{name}" for name in NAMES[:12]]
    columns += [f"coalesce(one.{name}, other.{name}) as {name}" for name in NAMES[12:16]]
    columns += [
        "case when one.c16 = other.c16 then one.c16 else other.c17 end as c16",
        "one.c17 || other.c18 as c17",
        "cast(row_number() over (partition by one.c00 order by one.c01) as varchar) as c18",
        "other.c19",
    ]
    return (
        f"with {_imported('one', one)},\n\n{_imported('other', other)},\n\nfinal as (\n    select\n"
        f"        {_list(columns)}\n    from one\n    left join other\n"
        "        on one.c00 = other.c00 and one.c01 = other.c01\n"
        "    where one.c02 is not null\n)\n\nselect * from final\n"
    )


def _united(one: str, other: str) -> str:
    reversed_names = [f"{old} as {new}" for old, new in zip(reversed(NAMES), NAMES, strict=True)]
    return (
        f"with {_imported('one', one)},\n\n{_imported('other', other)},\n\nfinal as (\n"
        f"    select * from one\n    union all\n    select\n        {_list(reversed_names)}\n"
        "    from other\n)\n\nselect * from final\n"
    )


def _aggregated(parent: str) -> str:
    columns = list(NAMES[:4])
    columns += [f"max({name}) as {name}" for name in NAMES[4:12]]
    columns += [
        f"cast(sum(case when {name} = 'x' then 1 else 0 end) as varchar) as {name}"
        for name in NAMES[12:19]
    ]
    columns += ["cast(count(*) as varchar) as c19"]
    return (
        f"with {_imported('rows_read', parent)},\n\nfinal as (\n    select\n"
        f"        {_list(columns)}\n    from rows_read\n    group by 1, 2, 3, 4\n"
        ")\n\nselect * from final\n"
    )
