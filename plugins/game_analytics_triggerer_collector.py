"""Excludes Airflow's own objects from the garbage collections of the triggerer.

For each task that waits, Airflow's triggerer deserializes the whole DAG. The many new objects let
Python's garbage collector run, and a full collection also searches the 290,000 objects of the
imported modules, which live as long as the process. That takes 0.2 s of processor time, in which no
trigger runs. `gc.freeze` excludes all objects that exist when the triggerer starts. The triggerer
forks the process of the triggers after that, so the exclusion counts there too.
"""

from __future__ import annotations

import gc
import sys

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


class TriggererCollector:
    """The listener for the start of Airflow's components."""

    @hookimpl
    def on_starting(self, component: object) -> None:  # noqa: ARG002
        """Exclude the objects that exist now, after a collection, if the triggerer starts.

        The job of the component has no type yet, so an imported module shows which one starts.
        """
        if "airflow.jobs.triggerer_job_runner" in sys.modules:
            gc.collect()
            gc.freeze()


class TriggererCollectorPlugin(AirflowPlugin):
    """Registers the listener in every component; it acts only in the triggerer."""

    name = "game_analytics_triggerer_collector"
    listeners = [TriggererCollector()]  # noqa: RUF012
