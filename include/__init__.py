"""Both environments: the modules of this folder. Each folder's docstring names its environment.

| file | does |
|---|---|
| `settings.py` | reads and checks the settings |
| `memory.py` | computes how much memory DuckDB may use |
| `manifest.py` | makes and reads dbt's manifest |
| `messages.py` | defines what the processes of the package send to each other |
| `run_form.py` | defines and checks the form of a manual run |
| `partial_builds.py` | refuses options of dbt with which a build would be incomplete |
| `engine_text.py` | removes values of the data from the errors of a warehouse |
| `remedies.py` | finds the remedy for a warehouse's error |
| `object_store.py` | makes AWS clients, explains AWS's errors, reads and writes the files of DOCS |
| `artifacts.py` | writes the artifacts of dbt into DOCS |
| `command.py` | makes a function a command that prints a user error as one sentence |
| `orchestration/` | Airflow's environment: what the DAGs consist of |
| `build/` | dbt's environment: the programs that run dbt and publish its results |
| `site/` | dbt's environment: what a run publishes for people |
| `lake/` | dbt's environment: the files of the lake, and the days that a run builds |
| `warehouse/` | dbt's environment: connections to the warehouse, build lock, grants |
| `laptop/` | a checkout only: `make run` and the other commands of a laptop |
| `deployment/` | a checkout only: the images, the package for MWAA, the check of the account |
"""
