"""The operators: which errors are final, which text an error has, and what is skipped and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk.execution_time.xcom import XCom
from cosmos.hooks.subprocess import FullOutputSubprocessResult
from cosmos.operators.local import DbtBuildLocalOperator

from include.manifest import PROJECT, Manifest, shown
from include.messages import (
    XCOM_PROGRESS,
    NodeEvent,
    NodeProgress,
    Progress,
    PublishRequest,
    SelectedNodes,
    StaleSources,
    from_json,
    to_plain,
)
from include.orchestration import connection, transform
from include.orchestration.alerts import ExplainedProblem
from include.orchestration.operators import artifacts, steps
from include.orchestration.operators.done import DoneOperator
from include.orchestration.operators.explained import ExplainedDbtOperator
from include.orchestration.operators.nodes import DbtNodeOperator
from include.orchestration.operators.steps import (
    DbtEnvironmentOperator,
    PreflightOperator,
    PublishOperator,
    RecordOperator,
    check_version,
)
from include.orchestration.watcher.nodes import (
    PRODUCER,
    WatchedFreshnessOperator,
    WatchedOperator,
)
from include.orchestration.watcher.older_airflow import STARTS_IN_TRIGGERER, WORKER_SECONDS
from include.run_form import RunForm
from include.settings import Settings

CREATED = 1_790_000_000.0
"""When the try of a task that starts on a worker was created."""
MODEL, TEST = "model.game_analytics.a", "test.game_analytics.unique_a_id.0123456789"


class Instance:
    """The parts of a task instance that the operators use."""

    task_id = "a"
    dag_id = "d"
    run_id = "r"
    id = "0192"
    try_number = 1
    states: Mapping[str, str] = {}

    def __init__(self, results: dict[str, Any]) -> None:
        self.results = results

    def get_task_states(self, **_: Any) -> dict[str, Mapping[str, str]]:
        return {self.run_id: self.states}

    def xcom_pull(self, task_ids: str) -> Any:
        return self.results[task_ids]


def context(
    *stale: str,
    selected: tuple[str, ...] | None = None,
    results: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    found = {
        "preflight": to_plain(SelectedNodes(selected)),
        "freshness": to_plain(StaleSources(stale)),
    }
    return {
        "run_id": "manual__2026-09-01T00:00:00+00:00/..",
        "ti": Instance({**found, **(results or {})}),
        "params": params or {},
    }


def waiting(producer: str) -> dict[str, Any]:
    """Return the context of a task that was created at CREATED; `producer` is the state of that."""
    found = context()
    found["ti"].states = {PRODUCER: producer}
    found["ti"].id = UUID(int=(int(CREATED * 1000) << 80) | (7 << 76) | (2 << 62))
    return found


def operator(folder: Path, results: list[dict[str, Any]] | None) -> ExplainedDbtOperator:
    made = ExplainedDbtOperator()
    made.sources = {MODEL: frozenset({"source.x"})}
    made.nodes = {MODEL: frozenset({MODEL})}
    made.files = {MODEL: "dbt/models/a.sql", TEST: "dbt/models/a.yml"}
    made.artifacts = folder
    if results is not None:
        (folder / "run_results.json").write_text(json.dumps({"results": results}))
    return made


def result(unique_id: str, status: str, message: str | None = None) -> dict[str, Any]:
    return {"unique_id": unique_id, "status": status, "message": message}


def ended(code: int) -> FullOutputSubprocessResult:
    return FullOutputSubprocessResult(code, "last", ["first", "last"])


def test_a_failed_test_is_final_and_names_file_and_sql(tmp_path: Path) -> None:
    (tmp_path / "unique_a_id.sql").write_text("select 1")
    made = operator(tmp_path, [result(MODEL, "success"), result(TEST, "fail", "Got 3 results")])
    with pytest.raises(AirflowFailException) as error:
        made.handle_exception_subprocess(ended(1))
    assert str(error.value) == (
        "test unique_a_id failed: Got 3 results\n"
        "  file: dbt/models/a.yml\n"
        f"  SQL:  {shown(tmp_path / 'unique_a_id.sql')}\n"
        "The table has the new rows, although a test of it failed."
    )
    problem = ExplainedProblem(
        what="test unique_a_id failed",
        message="Got 3 results",
        file="dbt/models/a.yml",
        sql=shown(tmp_path / "unique_a_id.sql"),
    )
    assert made.problems == [problem]


def test_an_error_is_retried(tmp_path: Path) -> None:
    made = operator(tmp_path, [result(MODEL, "error", "no such column"), result(TEST, "skipped")])
    with pytest.raises(AirflowException, match="model a had an error: no such column") as error:
        made.handle_exception_subprocess(ended(1))
    assert not isinstance(error.value, AirflowFailException)


def test_an_error_beside_a_failed_test_is_final_and_names_both(tmp_path: Path) -> None:
    other = "test.game_analytics.not_null_a.1"
    made = operator(tmp_path, [result(TEST, "fail", "Got 1"), result(other, "error", "lost")])
    with pytest.raises(
        AirflowFailException, match=r"(?s)not_null_a had an error: lost.*unique_a_id"
    ):
        made.handle_exception_subprocess(ended(1))


def test_dbt_that_ended_without_results_is_retried_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(AirflowException, match=r"exit code 2\.\nfirst\nlast") as error:
        operator(tmp_path, None).handle_exception_subprocess(ended(2))
    assert not isinstance(error.value, AirflowFailException)


def test_a_selection_of_nothing_is_an_error_and_success_is_not(tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="make manifest"):
        operator(tmp_path, None).handle_exception_subprocess(ended(0))
    operator(tmp_path, [result(MODEL, "success")]).handle_exception_subprocess(ended(0))


def test_a_task_that_needs_a_stale_source_is_skipped(tmp_path: Path) -> None:
    made = operator(tmp_path, None)
    assert made.chosen(context("source.other")) == [MODEL]
    with pytest.raises(AirflowSkipException, match=r"stale source source\.x\."):
        made.chosen(context("source.other", "source.x"))
    made.sources = {"needs_it": frozenset({"source.x"}), "does_not": frozenset({"source.y"})}
    made.nodes = {"needs_it": frozenset({MODEL}), "does_not": frozenset({MODEL})}
    assert made.chosen(context("source.x")) == ["does_not"]


def test_a_node_that_is_not_selected_is_skipped(tmp_path: Path) -> None:
    made = operator(tmp_path, None)
    assert made.chosen(context(selected=(MODEL,))) == [MODEL]
    with pytest.raises(AirflowSkipException, match=r"^Skipped: not selected\.$"):
        made.chosen(context("source.x", selected=("model.game_analytics.b",)))


@pytest.mark.parametrize("task_id", ["freshness", "preflight"])
@pytest.mark.parametrize("result", [None, {}, "words"])
def test_without_a_result_of_an_earlier_step_nothing_is_built(
    tmp_path: Path, task_id: str, result: Any
) -> None:
    lost = context(results={task_id: result})
    with pytest.raises(AirflowFailException, match=f"no result of {task_id}: clear that task"):
        operator(tmp_path, None).chosen(lost)
    done = DoneOperator(task_id="done", assets={}, manifest=Manifest({"nodes": {}}))
    with pytest.raises(AirflowFailException, match=f"no result of {task_id}"):
        done.execute(lost)


@pytest.mark.parametrize("state", ["skipped", "removed", None])
def test_done_is_green_only_if_the_days_are_recorded_or_the_form_left_out_a_node(
    monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    nodes = {f"model.p.{name}": {"resource_type": "model"} for name in ("a", "b")}
    done = DoneOperator(task_id="done", assets={}, manifest=Manifest({"nodes": nodes}))
    monkeypatch.setattr(Instance, "states", {"record_partitions": "success"})
    done.execute(context())
    monkeypatch.setattr(Instance, "states", {"record_partitions": state} if state else {})
    for whole in (context(), context(selected=("model.p.a", "model.p.b"))):
        with pytest.raises(AirflowFailException, match=r"record_partitions is .*not built\. Clear"):
            done.execute(whole)
    done.execute(context(selected=("model.p.a",)))


def test_done_is_not_green_when_a_needed_source_is_stale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = {
        f"model.p.{name}": {"resource_type": "model", "depends_on": {"nodes": [f"source.{source}"]}}
        for name, source in (("a", "x"), ("b", "y"))
    }
    done = DoneOperator(task_id="done", assets={}, manifest=Manifest({"nodes": nodes}))
    monkeypatch.setattr(Instance, "states", {"record_partitions": "success"})
    done.execute(context("source.that_nobody_needs"))
    with pytest.raises(AirflowFailException, match=r"stale source source\.x\."):
        done.execute(context("source.x"))
    with pytest.raises(AirflowFailException, match=r"stale source source\.x\."):
        done.execute(context("source.x", selected=("model.p.a",)))
    done.execute(context("source.x", selected=("model.p.b",)))


def tasks(tmp_path: Path) -> list[Any]:
    """Return a task of each kind that a dry run skips."""
    settings = stand_in(tmp_path, f"touch {tmp_path}/ran")
    manifest = Manifest({"nodes": {}})
    return [
        DbtEnvironmentOperator(task_id="step", settings=settings, command=["x"], form=RunForm.days),
        node_task(settings),
        transform.cross_model_tests(settings, manifest),
    ]


def node_task(settings: Settings) -> DbtNodeOperator:
    return DbtNodeOperator(
        task_id="a",
        project_dir=str(PROJECT),
        profile_config=connection.profile(settings),
        sources={MODEL: frozenset({"source.x"})},
        files={},
        model_file="",
    )


def test_a_dry_run_skips_every_task_but_preflight_and_is_green(tmp_path: Path) -> None:
    dry = context(params={"dry_run": True}, results={"preflight": None, "freshness": None})
    for task in tasks(tmp_path):
        with pytest.raises(AirflowSkipException, match=r"^Skipped: dry run\.$"):
            if isinstance(task, WatchedOperator):
                task.resume(dry, to_plain(NodeEvent(None)))
            else:
                task.execute(dry)
    assert not (tmp_path / "ran").exists()
    DoneOperator(task_id="done", assets={}, manifest=Manifest({"nodes": {}})).execute(dry)


def test_a_form_that_contradicts_itself_is_final(tmp_path: Path) -> None:
    wrong = context(params={"from": "2026-09-02", "to": "2026-09-01"})
    step, node, _ = tasks(tmp_path)
    for task in (step, node):
        with pytest.raises(AirflowFailException, match="from 2026-09-02 is after to 2026"):
            task.execute(wrong)
    assert not (tmp_path / "ran").exists()
    # The KPI task reads no form: it runs in any case, and does not repeat the error.
    step.form = None
    step.execute(wrong)
    assert (tmp_path / "ran").exists()


def test_a_run_that_left_out_a_node_records_no_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RecordOperator(
        task_id="record",
        settings=stand_in(tmp_path, f"touch {tmp_path}/ran"),
        command=["x"],
        nodes=["a", "b"],
    )
    states: dict[str, str] = {"a": "success", "b": "skipped"}
    monkeypatch.setattr(Instance, "states", states)
    for state in ("skipped", "removed"):
        states["b"] = state
        with pytest.raises(AirflowSkipException, match=r"1 of 2 nodes are not \(b\)\."):
            record.execute(context())
    assert not (tmp_path / "ran").exists()
    states["b"] = "success"
    record.execute(context())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("full_refresh", [False, True])
def test_a_full_refresh_reaches_each_node(
    monkeypatch: pytest.MonkeyPatch, full_refresh: bool
) -> None:
    flags: list[str] = []
    monkeypatch.setattr(
        DbtBuildLocalOperator,
        "execute",
        lambda self, *_, **__: flags.extend(self.add_cmd_flags()),
    )
    node_task(Settings()).execute(context(params={"full_refresh": full_refresh}))
    assert ("--full-refresh" in flags) is full_refresh


def test_a_step_gets_its_part_of_the_form_as_arguments(tmp_path: Path) -> None:
    settings = stand_in(tmp_path, f'for word; do echo "$word" >> {tmp_path}/words; done')
    given = context(params={"select": "a b", "full_refresh": True, "dry_run": True})
    DbtEnvironmentOperator(
        task_id="step",
        settings=settings,
        command=["include.x"],
        form=RunForm.arguments,
        runs_dry=True,
    ).execute(given)
    assert (tmp_path / "words").read_text().splitlines() == [
        *("-m", "include.x", "--select", "a b", "--full-refresh"),
        *("--dry-run", str(artifacts.artifacts_of(given))),
    ]


def test_artifacts_stay_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "ARTIFACTS", tmp_path / "artifacts")
    monkeypatch.setenv("GAME_ANALYTICS_DOCS", str(tmp_path / "docs"))
    project = tmp_path / "project"
    (project / "target").mkdir(parents=True)
    (project / "target" / "manifest.json").write_text("{}")
    entry = result("test.game_analytics." + "n" * 300, "fail") | {"compiled_code": "select 1"}
    (project / "target" / "run_results.json").write_text(json.dumps({"results": [entry]}))
    artifacts.keep_artifacts(str(project), context())
    kept = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    folder = tmp_path / "artifacts" / "manual__2026-09-01T00_00_00_00_00_" / "a"
    assert {path.parent for path in kept} == {folder}
    assert {path.name for path in kept} == {"run_results.json", "n" * 150 + ".sql"}
    # Everybody reads them in DOCS. The task `freshness` has written the manifest.
    shared = [path for path in (tmp_path / "docs").rglob("*") if path.is_file()]
    assert shared == [tmp_path / "docs/runs/r/a/try_1-0192/run_results.json"]


@pytest.mark.parametrize("docs", ["a file", "s3://studio-docs/site"])
def test_artifacts_that_cannot_be_published_fail_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, docs: str
) -> None:
    monkeypatch.setattr(artifacts, "ARTIFACTS", tmp_path / "artifacts")
    (tmp_path / "a file").touch()
    place = docs if docs.startswith("s3:") else str(tmp_path / docs)
    monkeypatch.setenv("GAME_ANALYTICS_DOCS", place)
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")
    (tmp_path / "project" / "target").mkdir(parents=True)
    (tmp_path / "project" / "target" / "run_results.json").write_text('{"results": []}')
    artifacts.keep_artifacts(str(tmp_path / "project"), context())
    assert "The artifacts of this task are not published: " in caplog.text


def test_publish_sends_the_states_of_the_tasks_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""read line; echo "$line" > {tmp_path}/request; echo "$@" > {tmp_path}/words
echo published; echo '{{"folder": "runs/r/site/1"}}'"""
    given = context("source.p.s", results={})
    given["dag_run"] = type("Run", (), {"start_date": datetime(2026, 9, 1, 4, 30, tzinfo=UTC)})
    states = {"a": "failed", "b": "success", "publish": "running", "unlock": None, "done": None}
    monkeypatch.setattr(Instance, "states", states)
    given["ti"].task_id = "publish"
    task = PublishOperator(
        task_id="publish", settings=stand_in(tmp_path, script), manifest=Manifest({"nodes": {}})
    )
    assert task.trigger_rule.value == "all_done"
    assert task.execute(given) == {"folder": "runs/r/site/1"}
    request = from_json((tmp_path / "request").read_text(), PublishRequest)
    assert request.started_at == "2026-09-01T04:30:00+00:00"
    assert request.states == {"a": "failed", "b": "success"}
    assert (tmp_path / "words").read_text().split()[1:3] == ["include.site", "publish"]
    # After a failed preflight there is no result of `freshness`.
    given["ti"].results["freshness"] = None
    task.execute(given)
    assert from_json((tmp_path / "request").read_text(), PublishRequest).stale == ()
    with pytest.raises(AirflowSkipException, match="dry run"):
        task.execute(context(params={"dry_run": True}))


@pytest.mark.parametrize(
    ("nodes", "is_sent"),
    [
        ({"a": "success", "b": "success"}, False),
        ({"a": "success", "b": "skipped"}, False),
        ({"a": "success", "b": "failed"}, True),
        ({"a": "success", "b": "upstream_failed"}, True),
        ({"a": "success", "b": None}, True),
    ],
)
def test_a_failed_producer_whose_nodes_built_themselves_is_no_failure_of_the_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nodes: dict[str, str | None],
    is_sent: bool,
) -> None:
    states = {**nodes, "dbt_build": "failed", "record_partitions": "success"}
    monkeypatch.setattr(Instance, "states", states)
    given = context(results={"dbt_build": None})
    given["dag_run"] = type("Run", (), {"start_date": None})
    given["ti"].task_id = "publish"
    monkeypatch.setattr(Instance, "xcom_pull", lambda self, task_ids, **_: self.results[task_ids])
    settings = stand_in(tmp_path, f'read line; echo "$line" > {tmp_path}/request')
    manifest = Manifest(
        {"nodes": {f"model.p.{name}": {"resource_type": "model"} for name in nodes}}
    )
    task = PublishOperator(task_id="publish", settings=settings, manifest=manifest)
    assert task.producer == PRODUCER
    task.execute(given)
    request = from_json((tmp_path / "request").read_text(), PublishRequest)
    assert (request.states.pop("dbt_build", None) == "failed") == is_sent
    sent = {name: state or "none" for name, state in nodes.items()}
    assert request.states == {**sent, "record_partitions": "success"}
    done = DoneOperator(task_id="done", assets={}, manifest=manifest, producer="dbt_build")
    assert (done.execute(given) is None) == is_sent


def test_a_failed_publication_is_the_error_of_its_own_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The program ends before it has read the request, which is longer than a pipe holds.
    monkeypatch.setattr(Instance, "states", {"a" * 200_000: "failed"})
    script = "echo 'error: the run is not published, the site is as before: full.' >&2; exit 1"
    given = context()
    given["dag_run"] = type("Run", (), {"start_date": None})
    task = PublishOperator(
        task_id="publish", settings=stand_in(tmp_path, script), manifest=Manifest({"nodes": {}})
    )
    with pytest.raises(AirflowException, match="the site is as before: full"):
        task.execute(given)


def stand_in(folder: Path, script: str) -> Settings:
    """Return settings in whose dbt environment `python` is a shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return Settings(dbt_executable=str(folder / "dbt"))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo words; echo '{\"stale\": []}'", {"stale": []}),
        ("echo '{\"stale\": []}'; echo warning >&2; echo bye", {"stale": []}),
        ('echo \'{"no": "result"}\' >&2; echo words', None),
        ("echo words", None),
    ],
)
def test_a_commands_json_is_its_result(tmp_path: Path, script: str, expected: Any) -> None:
    settings = stand_in(tmp_path, script)
    step = DbtEnvironmentOperator(task_id="step", settings=settings, command=["x"])
    assert step.execute(context()) == expected


@pytest.mark.parametrize(
    ("script", "error"),
    [
        # The line is written by `include.command`, so it is a sentence without values.
        ("echo 'error: game 7 of Zoltan.' >&2; exit 1", "error: game 7 of Zoltan."),
        # Any other line can be a part of a library's message.
        ("echo 'Could not convert: Zoltan' >&2; exit 1", "Could not convert: ***"),
        ("echo 'Zoltan 4000123456'; exit 1", "***"),
        # A process that was killed may not have come to its last line.
        ("echo 'error: Zoltan' >&2; kill -15 $$", "error: ***"),
    ],
)
def test_a_line_that_is_not_a_commands_sentence_is_masked(
    tmp_path: Path, script: str, error: str
) -> None:
    step = DbtEnvironmentOperator(
        task_id="step", settings=stand_in(tmp_path, script), command=["x"]
    )
    with pytest.raises(AirflowException) as raised:
        step.execute(context())
    assert str(raised.value) == error


def test_a_commands_last_line_is_its_error(tmp_path: Path) -> None:
    settings = stand_in(tmp_path, "echo 'error: no lake.' >&2; sleep 0.2; echo words; exit 1")
    step = DbtEnvironmentOperator(task_id="step", settings=settings, command=["x"])
    with pytest.raises(AirflowException, match=r"^error: no lake\.$"):
        step.execute(context())
    (tmp_path / "python").unlink()
    with pytest.raises(AirflowFailException, match="make install"):
        step.execute(context())


def test_a_task_that_a_worker_starts_waits_in_the_triggerer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Airflow 3.3 never calls `execute` of a task that starts in the triggerer."""
    monkeypatch.setattr(XCom, "get_one", lambda **_: None)
    task = WatchedFreshnessOperator(task_id="freshness", settings=Settings(), command=["x"])
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(waiting("running"))
    assert deferred.value.method_name == task.start_trigger_args.next_method == "resume"
    path, arguments = deferred.value.trigger.serialize()
    assert path == task.start_trigger_args.trigger_cls
    # No worker may get the task back before Airflow has noticed the end of the first one.
    wanted = {"worker_seconds": WORKER_SECONDS, **(task.start_trigger_args.trigger_kwargs or {})}
    assert arguments == wanted
    assert STARTS_IN_TRIGGERER is task.start_from_trigger is True


@pytest.mark.parametrize(
    ("producer", "status", "at", "runs"),
    [
        # dbt has ended and has not built the node.
        ("success", None, 0.0, True),
        ("success", "skipped", CREATED + 10, True),
        # The status is that of an earlier try.
        ("failed", "success", CREATED - 10, True),
        ("upstream_failed", None, 0.0, True),
        # The trigger ends the task, or returns it to a worker with what dbt has found.
        ("success", "success", CREATED + 10, False),
        ("success", "fail", CREATED + 10, False),
        ("running", None, 0.0, False),
        ("up_for_retry", "success", CREATED - 10, False),
    ],
)
def test_a_task_whose_node_dbt_has_not_built_runs_on_the_worker_that_starts_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    producer: str,
    status: str | None,
    at: float,
    runs: bool,
) -> None:
    nodes = {"a": NodeProgress(status, at)} if status else {}
    progress = to_plain(Progress(try_number=1, clears=0, done=True, nodes=nodes))
    monkeypatch.setattr(
        XCom, "get_one", lambda *, key, **_: progress if key == XCOM_PROGRESS else None
    )
    settings = stand_in(tmp_path, "echo '{\"stale\": []}'")
    task = WatchedFreshnessOperator(task_id="a", settings=settings, command=["x"])
    if runs:
        assert task.execute(waiting(producer)) == {"stale": []}
    else:
        with pytest.raises(TaskDeferred):
            task.execute(waiting(producer))


@pytest.mark.parametrize("seen", ["3.3.1", "3.3.2", "3.2.1"])
def test_preflight_refuses_every_version_of_airflow_but_that_of_the_package(
    tmp_path: Path, seen: str
) -> None:
    made_for = tmp_path / "airflow_version.txt"
    # A checkout does not say for which version it is.
    check_version(made_for, seen)
    made_for.write_text("3.2.1\n")
    if seen == "3.2.1":
        check_version(made_for, seen)
        return
    with pytest.raises(AirflowFailException) as refused:
        check_version(made_for, seen)
    assert f"has Airflow {seen}, but the package was made for Airflow 3.2.1" in str(refused.value)
    assert f"`make package AIRFLOW={seen}` (with WHEELS=1" in str(refused.value)
    assert "deploy to an environment of Airflow 3.2.1" in str(refused.value)


def test_preflight_checks_the_version_before_it_starts_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise AirflowFailException("another version")

    monkeypatch.setattr(steps, "check_version", refuse)
    settings = Settings(dbt_executable=str(tmp_path / "dbt"))
    task = PreflightOperator(task_id="preflight", settings=settings)
    with pytest.raises(AirflowFailException, match="another version"):
        task.execute(context())


def test_freshness_on_a_worker_returns_what_it_finds_and_keeps_what_the_producer_found(
    tmp_path: Path,
) -> None:
    python = tmp_path / "python"
    python.write_text("""#!/bin/sh\necho '{"stale": ["source.p.s.t"]}'\n""")
    python.chmod(0o755)
    settings = Settings(dbt_executable=str(tmp_path / "dbt"))
    task = WatchedFreshnessOperator(task_id="freshness", settings=settings, command=["x"])
    assert task.resume(context(), to_plain(NodeEvent(None))) == {"stale": ["source.p.s.t"]}
    # Airflow stores no result that is None, so the producer's result stays.
    assert task.resume(context(), to_plain(NodeEvent("success"))) is None
