"""Airflow's environment: the operators of the DAG's tasks.

| file | does |
|---|---|
| `steps.py` | a task that runs a program of dbt's environment, such as `include.build.preflight` |
| `nodes.py` | a task that runs dbt: for one node, or for the cross-model tests |
| `explained.py` | raises what dbt found, with file, SQL, rows and remedy |
| `done.py` | the last task, which fails if not everything was built |
| `selection.py` | what a run builds: its form, its selected nodes, its stale sources |
| `artifacts.py` | keeps a task's dbt results and compiled SQL |
"""

from include.orchestration.operators.done import DoneOperator
from include.orchestration.operators.selection import FRESHNESS, PREFLIGHT
from include.orchestration.operators.steps import (
    DbtEnvironmentOperator,
    PreflightOperator,
    PublishOperator,
    RecordOperator,
)

__all__ = [
    "FRESHNESS",
    "PREFLIGHT",
    "DbtEnvironmentOperator",
    "DoneOperator",
    "PreflightOperator",
    "PublishOperator",
    "RecordOperator",
]
