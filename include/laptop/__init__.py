"""A checkout only: the commands of a laptop, which run in Airflow's environment.

| file | does |
|---|---|
| `run.py` | `make run`: one run of the DAG by Airflow's scheduler |
| `up.py` | `make up` and `make down`: Airflow with its UI in the background |
| `retry.py` | `make retry`: one task of the last run again |
| `build.py` | `make build`: `dbt build` without Airflow |
| `airflow.py` | starts Airflow's processes, and calls its REST API |
| `private.py` | lets only the owner read what the commands write |
| `processes.py` | starts and ends other processes, and handles signals |
| `lock.py` | keeps two commands from building in a checkout at the same time |
"""
