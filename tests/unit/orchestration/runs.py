"""The parts of a DAG run that a producer uses, without Airflow's database."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.xcom import XCom

from include.manifest import Manifest
from include.messages import Progress, SelectedNodes, StaleSources, from_plain, to_plain
from include.orchestration.operators.done import MARTS

RUN_ID = "scheduled__2026-11-28T04:30:00+00:00"


class ProducerRun:
    """A run of a project of models without parents: its XComs, task state and states of tasks.

    If it `is_old`, Airflow has no task state.
    """

    def __init__(self, patch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
        self.names = names
        self.xcoms: dict[tuple[str, str], Any] = {}
        self.store: dict[str, Any] = {}
        self.states: dict[str, str | None] = {}
        self.freshness: list[str | None] = ["success"]
        self.is_old = False
        patch.setattr(XCom, "set", self.set_xcom)
        patch.setattr(XCom, "get_one", self.get_xcom)

    def set_xcom(self, key: str, value: Any, *, task_id: str, **_: Any) -> None:
        if task_id == "model.p.gone":
            raise RuntimeError("404: no such task instance")
        self.xcoms[key, task_id] = value

    def get_xcom(self, *, key: str, task_id: str, **_: Any) -> Any:
        return self.xcoms.get((key, task_id))

    def freshness_now(self) -> str | None:
        """Return the next state of the task `freshness`; the last one stays."""
        return self.freshness.pop(0) if len(self.freshness) > 1 else self.freshness[0]

    @property
    def manifest(self) -> Manifest:
        return Manifest(
            {
                "nodes": {
                    f"model.p.{name}": {
                        "resource_type": "model",
                        "name": name,
                        "fqn": ["p", name],
                        "package_name": "p",
                        "original_file_path": f"models/{name}.sql",
                        "depends_on": {"nodes": []},
                    }
                    for name in self.names
                },
                "metadata": {"project_name": "p"},
            }
        )

    def instance(self, attempt: int = 1, selected: tuple[str, ...] | None = None) -> Any:
        """Return the task instance of a try of `dbt_build`."""
        results = {
            "preflight": to_plain(SelectedNodes(selected)),
            "freshness": to_plain(StaleSources(())),
        }
        return SimpleNamespace(
            dag_id="game_analytics",
            run_id=RUN_ID,
            task_id="dbt_build",
            try_number=attempt,
            id=f"id-{attempt}",
            xcom_pull=lambda task_ids: results[task_ids],
            xcom_push=lambda key, value: self.xcoms.update({(key, "dbt_build"): value}),
            get_task_states=lambda **_: {
                RUN_ID: {"freshness": self.freshness_now(), **self.states}
            },
        )

    def context(self, ti: Any, clears: int, emit: Callable[[Asset], object]) -> dict[str, Any]:
        """Return the context of a try, after so many clears; `emit` is called for each asset."""
        store = SimpleNamespace(
            get=self.store.get, set=lambda key, value: self.store.update({key: value})
        )
        return {
            "ti": ti,
            "run_id": ti.run_id,
            "params": {},
            "dag_run": SimpleNamespace(clear_number=clears),
            **({} if self.is_old else {"task_state_store": store}),
            "outlet_events": {MARTS: SimpleNamespace(add=emit)},
        }

    @property
    def progress(self) -> Progress:
        return from_plain(self.xcoms["nodes", "dbt_build"], Progress)

    def statuses(self) -> dict[str, str]:
        return {name: node.status for name, node in self.progress.nodes.items()}
