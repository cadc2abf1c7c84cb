"""The operators of the DAG: programs of dbt's environment, and dbt itself through Cosmos.

| file | does |
|---|---|
| `steps.py` | a task that runs a program of dbt's environment, such as `include.build.preflight` |
| `nodes.py` | a task that runs dbt: for one node, or for the tests that span nodes |
| `done.py` | the last task: red if not everything was built |
| `selection.py` | what a run builds: its form, what it has selected, which sources are stale |
| `artifacts.py` | what is kept of a task's dbt: its results and compiled SQL |
"""

from include.orchestration.operators.done import DoneOperator
from include.orchestration.operators.selection import FRESHNESS, PREFLIGHT
from include.orchestration.operators.steps import DbtEnvironmentOperator, RecordOperator

__all__ = ["FRESHNESS", "PREFLIGHT", "DbtEnvironmentOperator", "DoneOperator", "RecordOperator"]
