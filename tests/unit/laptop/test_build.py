"""`make build` records days only after a build of all nodes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psutil", reason="runs in Airflow's environment")

from include import manifest
from include.laptop import build, lock
from include.manifest import Manifest
from include.settings import Settings

NODES = {name: {"resource_type": name.split(".")[0]} for name in ("model.p.a", "seed.p.b")}


@pytest.mark.parametrize(
    ("statuses", "arguments", "missing"),
    [
        ({"model.p.a": "success", "seed.p.b": "success", "test.p.c": "pass"}, {}, 0),
        ({"model.p.a": "success"}, {}, 1),
        ({"model.p.a": "success", "seed.p.b": "skipped"}, {}, 1),
        ({"model.p.a": "success", "seed.p.b": "success"}, {"empty": True}, 2),
        ({"model.p.a": "success", "seed.p.b": "success"}, {"sample": "1 day"}, 2),
    ],
)
def test_the_number_of_nodes_that_were_not_built(
    statuses: dict[str, str],
    arguments: dict[str, Any],
    missing: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = [{"unique_id": name, "status": status} for name, status in statuses.items()]
    monkeypatch.setattr(Manifest, "read", classmethod(lambda cls: cls({"nodes": NODES})))
    assert build.not_built({"results": results, "args": arguments}) == missing


@pytest.mark.parametrize("written", [None, "half a fi"])
def test_a_command_that_builds_nothing_records_nothing(
    written: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "run_results.json"
    commands: list[tuple[str, ...]] = []

    def in_dbt_environment(_: Settings, *command: str) -> None:
        commands.append(command)
        if "build" in command and written:
            results.write_text(written)

    monkeypatch.setattr(build, "RUN_RESULTS", results)
    monkeypatch.setattr(lock, "hold", lambda _: nullcontext())
    monkeypatch.setattr(manifest, "make", lambda _: False)
    monkeypatch.setattr(build, "in_dbt_environment", in_dbt_environment)
    assert build.build(Settings(), ["--help"]) == 0
    assert commands[-1][-1] == "--help"
    assert capsys.readouterr().out == "Not recorded as built: dbt has not built any node.\n"
    assert "--full-refresh" not in commands[1]
    assert build.build(Settings(), ["--full-refresh"]) == 0
    # With --full-refresh the first step must list the whole lake.
    listing = next(command for command in reversed(commands) if "partitions" in command)
    assert "--full-refresh" in listing


def test_a_quote_that_is_not_closed_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ARGS", "--vars '{a: 1}")
    monkeypatch.setattr(build, "stop_on_signals", lambda: None)
    assert build.main() == 1
    printed = capsys.readouterr().err
    assert printed.startswith(
        "error: ARGS=--vars '{a: 1} cannot be split into words (No closing quotation)"
    )
    assert printed.count("\n") == 1
    assert build.arguments("--select 'a b'") == ["--select", "a b"]
