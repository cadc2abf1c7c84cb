"""Every data asset of the project as the catalog shows it, from dbt's manifest alone.

An asset is a folder of the lake, an external table, a seed, model, snapshot or exposure. The folder
of a source is an asset of its own, because the data comes from there, and dbt has no node for it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from include.messages import file_name

Kind = Literal["folder", "external table", "seed", "model", "snapshot", "exposure"]
KINDS: Mapping[str, Kind] = {
    "source": "external table",
    "seed": "seed",
    "model": "model",
    "snapshot": "snapshot",
    "exposure": "exposure",
}
"""The kind of an asset by dbt's type of the resource, in the order in which data flows."""
FOLDER = "folder."
"""The start of the id of a folder; the id of its external table follows."""


@dataclass(frozen=True)
class Column:
    """A column of a table. `is_tested` is true if a test of its own checks it."""

    name: str
    data_type: str
    description: str
    is_tested: bool


@dataclass(frozen=True)
class Test:
    """A data test of an asset. `column` is empty if the test is about the whole table.

    A failure of a test that `only_warns` stops nothing.
    """

    unique_id: str
    name: str
    column: str
    description: str
    file: str
    only_warns: bool


@dataclass(frozen=True)
class Owner:
    """Who answers for an asset, and how to reach them. Both are empty if nobody is declared."""

    name: str = ""
    email: str = ""


@dataclass(frozen=True)
class Asset:
    """A data asset.

    `page` is the name of its page without the ending. `location` is the table with its schema, or
    the folder below the lake. `grain` is the sentence of the description that says what one row
    is. `upstream` and `downstream` are the ids of the direct neighbours. `file` is the file to
    edit, below the checkout. `sql` is the compiled SQL, or as it is written if it was not compiled.
    `readers` are the grants of dbt. `freshness` maps `warn` and `error` to an age.
    """

    unique_id: str
    page: str
    kind: Kind
    name: str
    location: str = ""
    materialization: str = ""
    description: str = ""
    grain: str = ""
    owner: Owner = Owner()
    columns: Sequence[Column] = ()
    tests: Sequence[Test] = ()
    tags: Sequence[str] = ()
    upstream: Sequence[str] = ()
    downstream: Sequence[str] = ()
    file: str = ""
    sql: str = ""
    readers: Sequence[str] = ()
    freshness: Mapping[str, str] = field(default_factory=dict)


def read_assets(
    manifest: Mapping[str, Any], catalog: Mapping[str, Any] | None = None
) -> dict[str, Asset]:
    """All assets by their id, each with its neighbours.

    dbt's `catalog` has the types of the columns as the warehouse knows them, and the columns that
    are not declared.
    """
    tables = {**(catalog or {}).get("sources", {}), **(catalog or {}).get("nodes", {})}
    resources: dict[str, Mapping[str, Any]] = {
        unique_id: resource
        for part in ("sources", "nodes", "exposures")
        for unique_id, resource in manifest.get(part, {}).items()
        if resource["resource_type"] in KINDS
    }
    owners = {
        group["name"]: _owner(group["owner"]) for group in manifest.get("groups", {}).values()
    }
    tests = _tests(manifest.get("nodes", {}).values())
    found: dict[str, Asset] = {}
    upstream: dict[str, list[str]] = {}
    for unique_id, resource in resources.items():
        built = tables.get(unique_id, {}).get("columns", {})
        found[unique_id] = _asset(resource, owners, tests[unique_id], built)
        parents = resource.get("depends_on", {}).get("nodes", ())
        upstream[unique_id] = sorted(parent for parent in parents if parent in resources)
        if resource["resource_type"] == "source":
            folder = _folder(found[unique_id], resource)
            found[folder.unique_id] = folder
            upstream[folder.unique_id] = []
            upstream[unique_id] = [folder.unique_id]
    downstream = defaultdict(list)
    for unique_id, parents in upstream.items():
        for parent in parents:
            downstream[parent].append(unique_id)
    return {
        unique_id: replace(
            asset, upstream=upstream[unique_id], downstream=sorted(downstream[unique_id])
        )
        for unique_id, asset in found.items()
    }


def grain(description: str) -> str:
    """The sentence that begins with "One row per", empty if there is none."""
    found = re.search(r"\bOne row per .*?\.(?=\s|$)", description, re.DOTALL)
    return found[0] if found else ""


def _asset(
    resource: Mapping[str, Any],
    owners: Mapping[str, Owner],
    tests: Sequence[Test],
    built: Mapping[str, Mapping[str, Any]],
) -> Asset:
    config = resource.get("config", {})
    has_table = config.get("materialized") != "ephemeral"
    description = str(resource.get("description", "")).strip()
    kind = KINDS[resource["resource_type"]]
    schema = resource.get("schema")
    table = resource.get("identifier") or resource.get("alias") or resource["name"]
    named = config.get("group") or config.get("meta", {}).get("owner")
    return Asset(
        unique_id=resource["unique_id"],
        page=file_name(resource["unique_id"]),
        kind=kind,
        # The name of a version of a model is not unique without the version.
        name=resource.get("label") or resource["unique_id"].split(".", 2)[2],
        location=f"{schema}.{table}" if schema and has_table else "",
        materialization=config.get("materialized", ""),
        description=description,
        grain=grain(description),
        owner=_owner(resource["owner"]) if "owner" in resource else owners.get(named, Owner()),
        columns=_columns(resource.get("columns", {}), tests, built),
        tests=tests,
        tags=sorted(set(resource.get("tags", ()))),
        file=f"dbt/{resource['original_file_path']}",
        sql=resource.get("compiled_code") or resource.get("raw_code") or "",
        readers=config.get("grants", {}).get("select", ()),
        freshness=_freshness(resource.get("freshness")),
    )


def _columns(
    declared: Mapping[str, Mapping[str, Any]],
    tests: Sequence[Test],
    built: Mapping[str, Mapping[str, Any]],
) -> list[Column]:
    """The declared columns, then those that only the table has."""
    types = {name.lower(): str(column.get("type", "")) for name, column in built.items()}
    columns = {name.lower(): column for name, column in declared.items()}
    return [
        Column(
            name=column.get("name", name),
            data_type=column.get("data_type") or types.get(name, "").lower(),
            description=column.get("description", "").strip(),
            is_tested=any(test.column.lower() == name for test in tests),
        )
        for name, column in (columns | {name: {} for name in types if name not in columns}).items()
    ]


def _folder(table: Asset, source: Mapping[str, Any]) -> Asset:
    """The folder of the lake with the files of a source."""
    return Asset(
        unique_id=f"{FOLDER}{table.unique_id}",
        page=f"{FOLDER}{table.page}",
        kind="folder",
        name=f"{source['name']}/",
        location=f"{source['name']}/",
        description=f"{table.description} {source.get('source_description', '')}".strip(),
        owner=table.owner,
        tags=table.tags,
        file=table.file,
    )


def _owner(owner: Mapping[str, Any]) -> Owner:
    return Owner(str(owner.get("name") or ""), str(owner.get("email") or ""))


def _tests(nodes: Iterable[Mapping[str, Any]]) -> Mapping[str, list[Test]]:
    """The data tests by the id of each asset that they read."""
    found: dict[str, list[Test]] = defaultdict(list)
    for node in nodes:
        if node["resource_type"] != "test":
            continue
        test = Test(
            unique_id=node["unique_id"],
            name=node["name"],
            column=node.get("column_name") or "",
            description=str(node.get("description", "")).strip(),
            file=f"dbt/{node['original_file_path']}",
            only_warns=str(node.get("config", {}).get("severity", "")).lower() == "warn",
        )
        for parent in node.get("depends_on", {}).get("nodes", ()):
            found[parent].append(test)
    return found


def _freshness(freshness: Mapping[str, Any] | None) -> dict[str, str]:
    ages = {}
    for name in ("warn", "error"):
        age = (freshness or {}).get(f"{name}_after") or {}
        if age.get("count"):
            plural = "s" if age["count"] != 1 else ""
            ages[name] = f"{age['count']} {age['period']}{plural}"
    return ages
