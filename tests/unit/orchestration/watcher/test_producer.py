"""The producer: what a later try builds and publishes again, and which assets it emits."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.messages import (
    FRESHNESS_LINE,
    NOT_BUILT,
    RESULT_LINE,
    RUN_ALONE,
    BuildRequest,
    NodeResult,
    StaleSources,
    Status,
    from_json,
    to_json,
)
from include.orchestration.watcher import older_airflow
from include.orchestration.watcher import producer as module
from include.orchestration.watcher.producer import DbtBuildOperator
from include.settings import Settings
from tests.unit.orchestration.runs import RUN_ID, ProducerRun

NAMES = ("a", "b", "c")
MARTS = {name: Asset(name=f"marts.{name}", uri=f"x://marts/{name}") for name in NAMES}


class Run(ProducerRun):
    """A run whose dbt is a shell script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        super().__init__(monkeypatch, NAMES)
        self.clears = 0
        self.emitted: list[str] = []
        self.folder = folder
        self.params: dict[str, Any] = {}
        monkeypatch.setattr(module, "artifacts_of", lambda _: folder)
        monkeypatch.setattr(module, "STATE_SECONDS", 0.001)

    def build(
        self,
        attempt: int,
        nodes: dict[str, Status],
        code: int = 0,
        selected: tuple[str, ...] | None = None,
        answer: StaleSources | None = None,
    ) -> BuildRequest | None:
        """Run one try, in which nodes end like this; returns the request that dbt got.

        dbt ends instead of an `answer` to the question for the stale sources if there is none.
        """
        request = self.folder / "request.json"
        request.unlink(missing_ok=True)
        results = (
            NodeResult(f"model.p.{name}", status, 0.1, None, (), ())
            for name, status in nodes.items()
        )
        lines = "\n".join(f"echo '{RESULT_LINE}{to_json(result)}'" for result in results)
        python = self.folder / "python"
        answered = f"echo '{FRESHNESS_LINE}{to_json(answer)}'" if answer else "exit 7"
        python.write_text(
            "#!/bin/sh\nread line || exit 0\n"
            f'case "$line" in "{FRESHNESS_LINE}"*) {answered}; read line || exit 0;; esac\n'
            f'echo "$line" > {request}\n{lines}\nexit {code}\n'
        )
        python.chmod(0o755)
        task = DbtBuildOperator(
            task_id="dbt_build",
            settings=Settings(dbt_executable=str(self.folder / "dbt")),
            manifest=self.manifest,
            assets=MARTS,
        )
        ti = self.instance(attempt, selected)
        context = self.context(ti, self.clears, lambda asset: self.emitted.append(asset.name))
        self.counts = task.execute(context | {"params": self.params})
        return from_json(request.read_text(), BuildRequest) if request.exists() else None

    def select(self, *given: Any, **more: Any) -> tuple[str, ...] | None:
        """Run one try in which dbt runs; returns the selectors that it got, None for all nodes."""
        request = self.build(*given, **more)
        assert request
        return request.select


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    return Run(monkeypatch, tmp_path)


def test_a_first_try_builds_all_and_publishes_when(run: Run) -> None:
    before = time.time()
    assert run.select(1, {"a": "success", "b": "fail", "c": "warn"}) is None
    assert run.statuses() == {"a": "success", "b": "fail", "c": "warn"}
    # The published time is rounded, so it may be a little later than now.
    assert all(before - 1 <= node.at <= time.time() + 1 for node in run.progress.nodes.values())
    assert run.progress.done is True
    assert run.xcoms["dbt", "b"]["status"] == "fail"
    assert run.emitted == ["marts.a", "marts.c"]


def test_a_second_try_goes_on_where_the_first_has_ended(run: Run) -> None:
    with pytest.raises(AirflowException, match="exit code 9"):
        run.build(1, {"a": "success"}, code=9)
    assert run.progress.done is True
    first = run.progress.nodes["a"]
    run.states = {"a": "deferred"}
    assert run.select(2, {"b": "success", "c": "success"}) == (
        "path:models/b.sql",
        "path:models/c.sql",
    )
    # The time is still that of the build, although the status is published again.
    assert run.progress.nodes["a"] == first
    # The first try failed, so its asset events were lost.
    assert run.emitted == ["marts.a", "marts.b", "marts.c"]


def test_a_node_task_that_succeeded_or_failed_is_left_alone(run: Run) -> None:
    with pytest.raises(AirflowException):
        run.build(1, {"a": "success", "b": "fail"}, code=9)
    run.states = {"a": "success", "b": "failed", "c": None}
    assert run.select(2, {"c": "success"}) == ("path:models/c.sql",)
    assert run.statuses() == {"c": "success"}
    # A third try still finds the nodes that the second did not publish again.
    run.states = {"a": "success", "b": "failed", "c": "deferred"}
    assert run.build(3, {}) is None
    assert run.statuses() == {"c": "success"}


def test_after_a_clear_nothing_is_published_again(run: Run) -> None:
    run.build(1, {"a": "success", "b": "success", "c": "success"})
    run.emitted.clear()
    run.clears = 1
    run.states = {"a": "success", "b": None, "c": None}
    assert run.select(2, {"b": "success", "c": "success"}) == (
        "path:models/b.sql",
        "path:models/c.sql",
    )
    # After a clear the node tasks end on workers, which emit the asset events themselves.
    assert run.emitted == []


def test_a_node_that_broke_and_is_built_by_a_second_try_emits_its_asset_itself(run: Run) -> None:
    with pytest.raises(AirflowException):
        run.build(1, {"a": "error"}, code=9)
    run.states = {"a": "up_for_retry"}
    run.build(2, {"a": "success", "b": "success", "c": "success"})
    assert run.emitted == ["marts.b", "marts.c"]


def test_it_does_not_build_beside_nodes_that_build_themselves(run: Run) -> None:
    run.states = {"b": "running"}
    with pytest.raises(AirflowFailException, match=r"b run dbt in their own tasks: clear this"):
        run.build(2, {})


@pytest.fixture
def old_run(monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """The run in an Airflow that starts node tasks on workers and has no task state."""
    monkeypatch.setattr(older_airflow, "STARTS_IN_TRIGGERER", False)
    monkeypatch.setattr(module, "STARTS_IN_TRIGGERER", False)
    run.is_old = True
    return run


def test_without_task_state_a_second_try_finds_what_the_first_one_has_built(old_run: Run) -> None:
    with pytest.raises(AirflowException):
        old_run.build(1, {"a": "success"}, code=9)
    # Airflow deletes the XComs of a task when the task starts.
    old_run.xcoms.pop(("nodes", "dbt_build"))
    assert old_run.select(2, {"b": "success", "c": "success"}) == (
        "path:models/b.sql",
        "path:models/c.sql",
    )
    assert old_run.statuses() == dict.fromkeys(NAMES, "success")
    assert old_run.emitted == ["marts.a", "marts.b", "marts.c"]


def test_a_node_result_that_a_starting_task_has_deleted_is_restored(old_run: Run) -> None:
    old_run.build(1, dict.fromkeys(NAMES, "success"))
    published = old_run.xcoms.pop(("dbt", "a"))
    ti = SimpleNamespace(
        dag_id="game_analytics",
        run_id=RUN_ID,
        task_id="a",
        xcom_push=lambda key, value: old_run.xcoms.update({(key, "a"): value}),
    )
    older_airflow.restore_node_result(ti)
    assert old_run.xcoms["dbt", "a"] == published


def test_where_tasks_start_in_the_triggerer_no_copy_of_a_result_is_kept(run: Run) -> None:
    run.build(1, dict.fromkeys(NAMES, "success"))
    assert {task_id for _, task_id in run.xcoms} == {"dbt_build", *NAMES}


def test_it_waits_for_tasks_that_are_on_a_worker_before_they_wait(
    old_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_run.states = {"b": "queued"}
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        old_run.states = {"b": "running"} if len(waited) == 1 else {"b": "deferred"}

    monkeypatch.setattr(time, "sleep", wait)
    old_run.build(2, dict.fromkeys(NAMES, "success"))
    assert len(waited) == 2
    assert old_run.statuses() == dict.fromkeys(NAMES, "success")


def test_a_node_that_is_not_selected_is_published_as_not_built(run: Run) -> None:
    assert run.select(1, {"a": "success"}, selected=("model.p.a",)) == ("path:models/a.sql",)
    assert run.statuses() == {
        "a": "success",
        **dict.fromkeys(("b", "c"), f"{NOT_BUILT}not selected"),
    }


def test_a_result_of_a_node_without_a_task_stops_nothing(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.build(1, {"gone": "success", "a": "success"})
    assert run.statuses() == {"a": "success"}
    assert "has no task model.p.gone" in caplog.text


def test_dbt_answers_the_task_that_waits_for_the_stale_sources(run: Run) -> None:
    run.freshness = [None, "scheduled", "deferred"]
    before = time.time()
    assert run.select(1, {"a": "success"}, answer=StaleSources(("source.p.lake.events",))) is None
    assert run.xcoms["return_value", "freshness"]["stale"] == ["source.p.lake.events"]
    status, at = run.progress.nodes["freshness"]
    # A trigger ignores an answer that is not 2 s younger than the try of its task.
    assert (status, at > before + 1.9) == ("success", True)
    assert run.counts == {"success": 1}


@pytest.mark.parametrize("answer", [StaleSources((), error="the query fails"), None])
def test_without_an_answer_the_task_finds_the_stale_sources_alone(
    run: Run, answer: StaleSources | None
) -> None:
    run.freshness = ["deferred", "deferred", "running", "success"]
    if answer:
        assert run.select(1, {"a": "success"}, answer=answer) is None
    else:
        with pytest.raises(AirflowException, match="exit code 7"):
            run.build(1, {"a": "success"})
    assert run.statuses()["freshness"] == RUN_ALONE
    assert ("return_value", "freshness") not in run.xcoms
    assert run.freshness == ["success"]


def test_each_later_try_of_that_task_gets_a_new_status(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPEAT_SECONDS", 0.02)
    monkeypatch.setattr(module, "STATE_SECONDS", 0.03)
    published: list[float] = []
    add = module.Channel.add

    def count(channel: module.Channel, task_id: str, status: str, later: float = 0.0) -> None:
        add(channel, task_id, status, later)
        if task_id == "freshness":
            published.append(channel.nodes[task_id].at)

    monkeypatch.setattr(module.Channel, "add", count)
    run.freshness = ["deferred", "up_for_retry", "deferred", "success"]
    run.build(1, {}, answer=StaleSources((), error="the query fails"))
    first, second = published
    assert second > first


@pytest.mark.parametrize("state", ["failed", "upstream_failed", "skipped"])
def test_nothing_is_built_if_the_stale_sources_are_not_known(run: Run, state: str) -> None:
    run.freshness = [None, state]
    with pytest.raises(AirflowSkipException, match=f"freshness is {state}"):
        run.build(1, {"a": "success"})
    assert not (run.folder / "request.json").exists()
    assert (run.progress.done, run.statuses()) == (True, {})


def test_a_dry_run_starts_no_dbt(run: Run) -> None:
    run.params = {"dry_run": True}
    with pytest.raises(AirflowSkipException, match="dry run"):
        run.build(1, {"a": "success"})
    # The triggers skip their tasks if the producer was skipped without a message.
    assert run.xcoms == {}
