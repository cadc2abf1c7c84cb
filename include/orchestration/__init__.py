"""Airflow's environment: what the DAGs consist of.

| file | does |
|---|---|
| `transform.py` | makes the tasks of the dbt nodes, for the execution mode that is set |
| `operators/` | the operators of all other tasks, and the local dbt operators |
| `watcher/` | execution mode `watcher`: the producer and the node tasks that follow it |
| `ecs/` | execution modes `fargate` and `ecs`: dbt in containers |
| `step_functions.py` | runs a whole build as one execution of the state machine |
| `alerts.py` | the alert of a failed task and of a late run |
| `connection.py` | the login of the warehouse, for dbt and its programs |
"""
