"""The producer: what it builds on a later try, what it tells again, and of which assets."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.xcom import XCom

from include.manifest import Manifest
from include.orchestration.operators.done import MARTS as MARTS_ALIAS
from include.orchestration.watcher import producer as module
from include.orchestration.watcher.producer import DbtBuildOperator
from include.settings import Settings

NAMES = ("a", "b", "c")
MARTS = {name: Asset(name=f"marts.{name}", uri=f"x://marts/{name}") for name in NAMES}


class Run:
    """A DAG run as far as the producer uses it: a store, XComs, and the states of its tasks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.xcoms: dict[tuple[str, str], Any] = {}
        self.store: dict[str, Any] = {}
        self.states: dict[str, str | None] = {}
        self.clears = 0
        self.emitted: list[str] = []
        self.folder = folder
        monkeypatch.setattr(XCom, "set", self.set_xcom)
        monkeypatch.setattr(module, "artifacts_of", lambda _: folder)

    def set_xcom(self, key: str, value: Any, *, task_id: str, **_: Any) -> None:
        if task_id == "model.p.gone":
            raise RuntimeError("404: no such task instance")
        self.xcoms[key, task_id] = value

    def build(
        self, attempt: int, news: dict[str, str], code: int = 0, selected: Any = None
    ) -> dict[str, Any]:
        """One try, in which dbt says this of nodes; returns the request that dbt got."""
        asked = self.folder / "request.json"
        asked.unlink(missing_ok=True)
        lines = "\n".join(
            "echo 'dbt-news "
            + json.dumps({"unique_id": f"model.p.{name}", "status": status, "results": []})
            + "'"
            for name, status in news.items()
        )
        python = self.folder / "python"
        python.write_text(f'#!/bin/sh\nread line; echo "$line" > {asked}\n{lines}\nexit {code}\n')
        python.chmod(0o755)
        content = {
            "nodes": {
                f"model.p.{name}": {
                    "resource_type": "model",
                    "name": name,
                    "fqn": ["p", name],
                    "depends_on": {"nodes": []},
                }
                for name in NAMES
            }
        }
        task = DbtBuildOperator(
            task_id="dbt_build",
            settings=Settings(dbt_executable=str(self.folder / "dbt")),
            manifest=Manifest(content),
            assets=MARTS,
        )
        results = {"preflight": {"selected": selected}, "freshness": {"stale": []}}
        ti = SimpleNamespace(
            dag_id="d",
            run_id="r",
            task_id="dbt_build",
            try_number=attempt,
            xcom_pull=lambda task_ids: results[task_ids],
            xcom_push=lambda key, value: self.xcoms.update({(key, "dbt_build"): value}),
            get_task_states=lambda **_: {"r": {name: self.states.get(name) for name in NAMES}},
        )
        collector = SimpleNamespace(add=lambda asset: self.emitted.append(asset.name))
        context = {
            "ti": ti,
            "run_id": "r",
            "params": {},
            "dag_run": SimpleNamespace(clear_number=self.clears),
            "task_state_store": SimpleNamespace(
                get=self.store.get, set=lambda key, value: self.store.update({key: value})
            ),
            "outlet_events": {MARTS_ALIAS: collector},
        }
        task.execute(context)
        found: dict[str, Any] = json.loads(asked.read_text()) if asked.exists() else {}
        return found

    @property
    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = self.xcoms["nodes", "dbt_build"]
        return said

    def statuses(self) -> dict[str, str]:
        return {name: status for name, (status, _) in self.said["nodes"].items()}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    return Run(monkeypatch, tmp_path)


def test_a_first_try_builds_all_and_tells_when(run: Run) -> None:
    before = time.time()
    asked = run.build(1, {"a": "success", "b": "fail", "c": "warn"})
    assert asked["select"] is None
    assert run.statuses() == {"a": "success", "b": "fail", "c": "warn"}
    assert all(before - 1 <= at <= time.time() for _, at in run.said["nodes"].values())
    assert run.said["done"] is True
    assert run.xcoms["dbt", "b"]["status"] == "fail"
    assert run.emitted == ["marts.a", "marts.c"]


def test_a_second_try_goes_on_where_the_first_has_ended(run: Run) -> None:
    with pytest.raises(AirflowException, match="exit code 9"):
        run.build(1, {"a": "success"}, code=9)
    assert run.said["done"] is True
    at = run.said["nodes"]["a"][1]
    run.states = {"a": "deferred"}
    asked = run.build(2, {"b": "success", "c": "success"})
    assert asked["select"] == ["fqn:p.b", "fqn:p.c"]
    # It was built when it was built, not when that is told again.
    assert run.said["nodes"]["a"] == ["success", at]
    # The first try has failed, and its asset events with it.
    assert run.emitted == ["marts.a", "marts.b", "marts.c"]


def test_what_is_green_or_red_is_left_alone(run: Run) -> None:
    with pytest.raises(AirflowException):
        run.build(1, {"a": "success", "b": "fail"}, code=9)
    run.states = {"a": "success", "b": "failed", "c": None}
    assert run.build(2, {"c": "success"})["select"] == ["fqn:p.c"]
    assert run.statuses() == {"c": "success"}
    # A third try does not forget what the second did not tell.
    run.states = {"a": "success", "b": "failed", "c": "deferred"}
    assert run.build(3, {}) == {}
    assert run.statuses() == {"c": "success"}


def test_after_a_clear_nothing_is_told_again(run: Run) -> None:
    run.build(1, {"a": "success", "b": "success", "c": "success"})
    run.emitted.clear()
    run.clears = 1
    run.states = {"a": "success", "b": None, "c": None}
    asked = run.build(2, {"b": "success", "c": "success"})
    assert asked["select"] == ["fqn:p.b", "fqn:p.c"]
    # Their tasks end on workers then, which tell of the assets themselves.
    assert run.emitted == []


def test_what_broke_and_was_built_by_a_second_try_tells_of_its_asset_itself(run: Run) -> None:
    with pytest.raises(AirflowException):
        run.build(1, {"a": "error"}, code=9)
    run.states = {"a": "up_for_retry"}
    run.build(2, {"a": "success", "b": "success", "c": "success"})
    assert run.emitted == ["marts.b", "marts.c"]


def test_it_does_not_build_beside_nodes_that_build_themselves(run: Run) -> None:
    run.states = {"b": "running"}
    with pytest.raises(AirflowFailException, match=r"b run dbt for themselves: clear this task"):
        run.build(2, {})


def test_what_is_not_selected_is_told_as_such(run: Run) -> None:
    asked = run.build(1, {"a": "success"}, selected=["model.p.a"])
    assert asked["select"] == ["fqn:p.a"]
    assert run.statuses() == {
        "a": "success",
        **dict.fromkeys(("b", "c"), "not built: not selected"),
    }


def test_news_of_a_node_without_a_task_stop_nothing(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.build(1, {"gone": "success", "a": "success"})
    assert run.statuses() == {"a": "success"}
    assert "has no task model.p.gone" in caplog.text
