"""The triggerer's garbage collections leave out the objects that exist when it starts."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from types import ModuleType

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_triggerer_collector as collector

RUNNER = "airflow.jobs.triggerer_job_runner"


class Node:
    """An object that refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """The collections of this process have all objects before and after a test."""
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_the_triggerer_excludes_what_exists_at_its_start_except_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, RUNNER, ModuleType(RUNNER))
    kept = Node()
    garbage = weakref.ref(Node())
    collector.TriggererCollector().on_starting(component=None)
    assert garbage() is None
    assert gc.get_freeze_count() > 0
    assert not any(found is kept for found in gc.get_objects())


def test_other_components_collect_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, RUNNER, raising=False)
    collector.TriggererCollector().on_starting(component=None)
    assert gc.get_freeze_count() == 0


def test_the_plugin_registers_the_listener() -> None:
    (listener,) = collector.TriggererCollectorPlugin.listeners
    assert isinstance(listener, collector.TriggererCollector)
