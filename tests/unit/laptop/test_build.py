"""`make build` records days only after a build of all nodes with all of their tests."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psutil", reason="runs in Airflow's environment")

from include import manifest
from include.laptop import build, lock
from include.manifest import Manifest
from include.settings import Settings, UserError

IDS = ("model.p.a", "seed.p.b", "test.p.of_a", "test.p.of_a_and_b")
NODES = {name: {"resource_type": name.split(".")[0]} for name in IDS}
BUILT = {"model.p.a": "success", "seed.p.b": "success"}
TESTED = {"test.p.of_a": "pass", "test.p.of_a_and_b": "warn"}


@pytest.mark.parametrize(
    ("statuses", "arguments", "missing"),
    [
        (BUILT | TESTED, {}, ""),
        (TESTED | {"model.p.a": "success"}, {}, "1 node"),
        (BUILT | TESTED | {"seed.p.b": "skipped"}, {}, "1 node"),
        (BUILT | TESTED, {"empty": True}, "2 nodes"),
        (BUILT | TESTED, {"sample": "1 day"}, "2 nodes"),
        (BUILT | TESTED, {"event_time_start": "2026-09-01"}, "2 nodes"),
        (BUILT | TESTED, {"event_time_end": "2026-09-01"}, "2 nodes"),
        (BUILT | TESTED, {"defer": True}, "2 nodes"),
        (BUILT | TESTED, {"favor_state": True}, "2 nodes"),
        (BUILT, {"exclude_resource_types": ["test"]}, "2 tests"),
        (BUILT | {"test.p.of_a": "pass"}, {"exclude": ["of_a_and_b"]}, "1 test"),
        (BUILT | TESTED | {"test.p.of_a": "skipped"}, {}, "1 test"),
        ({"model.p.a": "success"}, {"indirect_selection": "empty"}, "1 node and 2 tests"),
    ],
)
def test_the_number_of_nodes_and_tests_that_were_left_out(
    statuses: dict[str, str],
    arguments: dict[str, Any],
    missing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = [{"unique_id": name, "status": status} for name, status in statuses.items()]
    monkeypatch.setattr(Manifest, "read", classmethod(lambda cls: cls({"nodes": NODES})))
    assert build.not_built({"results": results, "args": arguments}) == missing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--empty"], "--empty reads none or only some of the rows, which would end histories"),
        (["--select", "a", "--sample", "1 day"], "--sample reads none or only some"),
        (["--sample=1 day"], "--sample reads none or only some"),
        (["--event-time-start", "2026-09-01"], "--event-time-start reads none or only some"),
        (["--target", "redshift"], "--target would build in another warehouse .* GAME_ANALYTICS_T"),
        (["--target=redshift"], "--target would build in another warehouse"),
        (["-t", "redshift"], "-t would build in another warehouse"),
        (["-xt", "redshift"], "-xt would build in another warehouse"),
        (["--profiles-dir", "."], "--profiles-dir would build in another warehouse"),
    ],
)
def test_arguments_with_which_tables_would_be_incomplete_or_elsewhere_are_refused_at_once(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "in_dbt_environment", lambda *_: pytest.fail("something was run"))
    monkeypatch.setattr(manifest, "make", lambda _: pytest.fail("something was made"))
    with pytest.raises(UserError, match=message):
        build.build(Settings(), arguments)


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


@pytest.mark.parametrize("has_tests", [True, False])
def test_a_build_without_tests_records_nothing(
    has_tests: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    statuses = BUILT | (TESTED if has_tests else {})
    entries = [{"unique_id": name, "status": status} for name, status in statuses.items()]
    commands: list[tuple[str, ...]] = []

    def in_dbt_environment(_: Settings, *command: str) -> None:
        commands.append(command)
        if "build" in command:
            (tmp_path / "results").write_text(json.dumps({"results": entries, "args": {}}))

    monkeypatch.setattr(Manifest, "read", classmethod(lambda cls: cls({"nodes": NODES})))
    monkeypatch.setattr(build, "RUN_RESULTS", tmp_path / "results")
    monkeypatch.setattr(lock, "hold", lambda _: nullcontext())
    monkeypatch.setattr(manifest, "make", lambda _: False)
    monkeypatch.setattr(build, "in_dbt_environment", in_dbt_environment)
    assert build.build(Settings(), []) == 0
    assert any("record" in command for command in commands) == has_tests
    message = "Not recorded as built: 2 tests were not part of this build.\n"
    assert capsys.readouterr().out == ("" if has_tests else message)
