"""dbt's own documentation of the wide project: a dbt project with the same models, and its tables.

`dbt docs generate --static` reads the columns of all tables from a warehouse. The tables of the
DuckDB file are empty, because no row of them is read. dbt parses the project once before, so that
what is measured is the command as a production job runs it again: it compiles the SQL of all
models, reads the columns, and writes manifest, catalog and one page.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import msgspec

from include.settings import UserError
from tests.benchmarks.measure import clean_environment, progress
from tests.benchmarks.wide_project import DATABASE, NAMES, PROJECT, SCHEMA, Table, tables

PAGE = "static_index.html"
"""The page, in dbt's target folder."""


def prepare(folder: Path) -> list[str]:
    """Write project and warehouse, and return the command; raises UserError if dbt refuses them."""
    shutil.rmtree(folder, ignore_errors=True)
    write_project(folder)
    _write_warehouse(folder / f"{DATABASE}.duckdb")
    dbt = str(Path(sys.executable).with_name("dbt"))
    places = [
        *("--project-dir", str(folder), "--profiles-dir", str(folder)),
        *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
    ]
    parsed = subprocess.run(
        [dbt, "--quiet", "parse", *places],
        env={**clean_environment(), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if parsed.returncode:
        raise UserError(f"dbt cannot parse the wide project: {parsed.stdout[-1000:]}")
    progress("dbt has parsed the wide project")
    return [dbt, "--quiet", "docs", "generate", "--static", *places]


def write_project(folder: Path) -> None:
    """Write a dbt project whose compiled SQL, names and columns are those of `wide_project`."""
    models = folder / "models"
    models.mkdir(parents=True)
    profile = {"type": "duckdb", "path": str(folder / f"{DATABASE}.duckdb"), "schema": SCHEMA}
    content = {"target": "dev", "outputs": {"dev": {**profile, "threads": 2}}}
    (folder / "profiles.yml").write_text(json.dumps({PROJECT: content}))
    (folder / "dbt_project.yml").write_text(
        json.dumps({"name": PROJECT, "profile": PROJECT, "models": {"+materialized": "view"}})
    )
    columns = [
        {"name": name, "description": f"Column {name}.", "data_type": "varchar"} for name in NAMES
    ]
    sources, described = [], []
    kinds = {_relation(table.name): _reference(table) for table in tables()}
    for table in tables():
        if table.sql:
            sql = re.sub(r'"\w+"\."\w+"\."\w+"', lambda found: kinds[found[0]], table.sql)
            (models / f"{table.name}.sql").write_text(sql)
            described.append({"name": table.name, "columns": columns})
        else:
            sources.append({"name": table.name, "columns": columns})
    lake = {"name": "lake", "schema": SCHEMA, "tables": sources}
    # JSON is YAML.
    (models / "sources.yml").write_text(json.dumps({"sources": [lake]}))
    (models / "models.yml").write_text(json.dumps({"models": described}))


def differences(folder: Path, other: Path) -> Iterator[str]:
    """The models and columns in which the manifests of two folders differ."""
    one, two = (
        msgspec.json.decode((place / "manifest.json").read_bytes()) for place in (folder, other)
    )
    for kind in ("nodes", "sources"):
        for unique_id in sorted({*one[kind], *two[kind]}):
            if _content(one[kind].get(unique_id)) != _content(two[kind].get(unique_id)):
                yield unique_id


def page_sizes(path: Path) -> tuple[float, float]:
    """The size of a page in MB, plain and compressed."""
    content = path.read_bytes()
    return len(content) / 1e6, len(gzip.compress(content)) / 1e6


def _content(node: dict[str, object] | None) -> Sequence[object]:
    if node is None:
        return ()
    columns = node["columns"]
    assert isinstance(columns, dict)
    sql = str(node.get("compiled_code") or "").strip()
    return node["relation_name"], sql, [(name, one["data_type"]) for name, one in columns.items()]


def _write_warehouse(path: Path) -> None:
    columns = ", ".join(f"{name} varchar" for name in NAMES)
    with duckdb.connect(str(path)) as warehouse:
        for table in tables():
            warehouse.execute(f"create table {table.name} ({columns})")


def _relation(name: str) -> str:
    return f'"{DATABASE}"."{SCHEMA}"."{name}"'


def _reference(table: Table) -> str:
    return (
        f"{{{{ ref('{table.name}') }}}}"
        if table.sql
        else f"{{{{ source('lake', '{table.name}') }}}}"
    )
