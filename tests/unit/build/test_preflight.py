"""Preflight: for each thing that is missing, one sentence that names it and the remedy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include import manifest
from include.build import preflight
from include.run_form import RunForm
from include.settings import ROOT, Settings, UserError

FILES = (manifest.MANIFEST, manifest.FINGERPRINT)


def test_a_missing_dbt_or_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"none is not a program: run `rm -rf .venv && make install`"
    ):
        preflight.check_dbt(Settings(dbt_executable=str(tmp_path / "none")))
    lock = tmp_path / "dbt.txt"
    lock.write_text("dbt-core==0.1 \\\n    --hash=sha256:00\n")
    with pytest.raises(
        UserError, match=r"dbt-core has version .*, but dbt.txt has 0.1: run `rm -rf"
    ):
        preflight.check_dbt(Settings(dbt_executable=sys.executable), lock)
    assert "dbt-duckdb" in preflight.check_dbt(Settings(dbt_executable=sys.executable))


def test_a_manifest_of_other_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manifest.json").write_text('{"nodes": {}}')
    (tmp_path / "manifest.fingerprint").write_text("of other files")
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "manifest.json")
    monkeypatch.setattr(manifest, "FINGERPRINT", tmp_path / "manifest.fingerprint")
    monkeypatch.setattr(manifest.Manifest, "read", classmethod(lambda cls: cls({"nodes": {}})))
    with pytest.raises(UserError, match=r"was not made from the project's files.*make manifest"):
        preflight.check_manifest()


def test_a_lake_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist: land events with `make land"):
        preflight.check_lake(Settings(lake=str(tmp_path / "none")))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: set GAME_ANALYTICS_LAKE to a folder"):
        preflight.check_lake(Settings(lake=str(tmp_path / "file")))
    assert preflight.check_lake(Settings(lake=str(tmp_path)))


def test_a_warehouse_that_is_locked_damaged_newer_or_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new" / "warehouse.duckdb"
    assert preflight.check_warehouse(Settings(duckdb=str(path))).endswith("(new)")
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UserError, match=rf"is open by .* \(process {holder.pid}\)"):
            preflight.check_warehouse(Settings(duckdb=str(path)))
        holder.kill()
    content = bytearray(path.read_bytes())
    content[12] = 250  # The storage version.
    newer = tmp_path / "newer.duckdb"
    newer.write_bytes(content)
    with pytest.raises(UserError, match=r"was written by another DuckDB|is damaged"):
        preflight.check_warehouse(Settings(duckdb=str(newer)))
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"no database" * 2000)
    with pytest.raises(UserError, match="is damaged or no DuckDB file"):
        preflight.check_warehouse(Settings(duckdb=str(damaged)))
    with pytest.raises(UserError, match="is a folder"):
        preflight.check_warehouse(Settings(duckdb=str(tmp_path)))


def test_a_network_that_drops_packets_is_reported_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as waiting:
        host, port = server.getsockname()
        # The server never accepts, and the kernel drops packets once its queue is full.
        with suppress(TimeoutError):
            for _ in range(8):
                waiting.enter_context(socket.create_connection((host, port), 0.3))
        monkeypatch.setattr(preflight, "CONNECT_SECONDS", 0.3)
        monkeypatch.setenv("REDSHIFT_HOST", host)
        monkeypatch.setenv("REDSHIFT_PORT", str(port))
        monkeypatch.setattr(
            preflight, "open_database", lambda _: pytest.fail("the driver was used")
        )
        with pytest.raises(UserError, match=rf"{host}:{port} does not answer .* security group"):
            preflight.check_warehouse(Settings(target="redshift", lake="s3://bucket/lake"))


def test_errors_that_the_driver_reports_at_once_are_left_to_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        preflight.check_network(host, str(port))
    preflight.check_network(host, str(port))
    preflight.check_network("", "")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("mars", "error: GAME_ANALYTICS_TARGET is 'mars'"),
        ("redshift", "error: GAME_ANALYTICS_LAKE is"),
    ],
)
def test_the_program_s_error_is_one_sentence(tmp_path: Path, target: str, expected: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "include.build.preflight"],
        cwd=ROOT,
        env={"GAME_ANALYTICS_TARGET": target, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(expected)
    assert ended.stderr.count("\n") == 1


def test_a_variable_with_which_dbt_reads_no_rows_is_refused(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "include.build.preflight"],
        cwd=ROOT,
        env={"GAME_ANALYTICS_LAKE": str(tmp_path), "DBT_EMPTY": "true", "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the variable DBT_EMPTY is set")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Settings]:
    """Settings for dbt on the real project, whose manifest no test may change."""
    settings = Settings(
        dbt_executable=str(Path(sys.executable).with_name("dbt")),
        duckdb=str(tmp_path / "warehouse.duckdb"),
        lake=str(tmp_path),
    )
    manifest.make(settings)
    before = [path.stat().st_mtime_ns for path in FILES]
    yield settings
    assert [path.stat().st_mtime_ns for path in FILES] == before


def test_without_a_selector_dbt_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert preflight.selected_nodes(Settings(), RunForm(full_refresh=True)) is None


def test_a_selector_is_resolved_by_dbt(project: Settings) -> None:
    form = RunForm(select="stg_ledger__games+ event_types", exclude="dim_games+")
    assert sorted(preflight.selected_nodes(project, form) or ()) == [
        "model.game_analytics.stg_ledger__games",
        "seed.game_analytics.event_types",
    ]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            RunForm(select="fct_bets nonsense"),
            "select 'fct_bets nonsense' cannot be resolved, name nodes in dbt's syntax, .*; "
            "dbt's message: Compilation Error The selection criterion 'nonsense' does not match",
        ),
        (
            RunForm(select="test_type:data", exclude="fct_bets"),
            "select 'test_type:data' and exclude 'fct_bets' leaves no model, seed or snapshot to "
            "build: name nodes in dbt's syntax",
        ),
    ],
)
def test_a_selector_that_matches_nothing_is_an_error(
    project: Settings, form: RunForm, expected: str
) -> None:
    with pytest.raises(UserError, match=expected) as error:
        preflight.selected_nodes(project, form)
    assert "\n" not in str(error.value)


def test_a_dry_run_compiles_and_lists_the_selected_nodes(project: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    (folder / "of_an_earlier_try.sql").touch()
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "include.build.preflight", "--json", "--full-refresh"),
            *("--select", "event_types int_event_days", "--dry-run", str(folder)),
        ],
        cwd=ROOT,
        env=project.as_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    *_, model, seed, where, result = ended.stdout.splitlines()
    path = manifest.Manifest.read().nodes["model.game_analytics.int_event_days"][
        "original_file_path"
    ]
    assert model == f"would build model int_event_days: dbt/{path}"
    assert seed == "would build seed event_types: dbt/seeds/event_types.csv"
    assert where == f"2 nodes would be built; compiled SQL: {manifest.shown(folder)}"
    assert json.loads(result) == {
        "selected": ["model.game_analytics.int_event_days", "seed.game_analytics.event_types"]
    }
    assert [file for file in folder.rglob("*") if file.is_file()] == [folder / path]
    assert "select" in (folder / path).read_text()


class Cluster:
    """A stand-in for a Redshift database, with its schemas and whether tables may be created."""

    def __init__(self, schemas: dict[str, bool], *, may_create: bool) -> None:
        self.schemas = schemas
        self.may_create = may_create

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        assert not values
        if "pg_namespace" in sql:
            return list(self.schemas.items())
        return [("dbt", "analytics", self.may_create)]

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        raise AssertionError(f"{sql} {values}")

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        raise AssertionError(f"{table} {rows}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        raise AssertionError
        yield


ALL = {f"x_{schema}": True for schema in preflight.SCHEMAS}


@pytest.mark.parametrize(
    ("schemas", "may_create", "error"),
    [
        (ALL, False, None),
        ({}, True, None),
        (ALL | {"x_marts": False}, True, "user dbt cannot create tables in x_marts of database"),
        ({**ALL, "x_marts": False}, False, "x_marts of database analytics: run include/aws/boot"),
        ({}, False, "x_operations, x_reference, x_staging, x_intermediate, x_snapshots, x_marts"),
    ],
)
def test_the_user_may_create_schemas_or_use_its_own(
    schemas: dict[str, bool], may_create: bool, error: str | None
) -> None:
    settings = Settings(target="redshift", lake="s3://b/l", schema_prefix="x_")
    database = Cluster(schemas, may_create=may_create)
    if error:
        with pytest.raises(UserError, match=error):
            preflight.check_redshift(database, settings)
    else:
        assert preflight.check_redshift(database, settings) == "warehouse analytics as dbt"
