"""Airflow's environment: dbt in Fargate tasks, one per run (mode `fargate`) or per node (`ecs`).

| file | does |
|---|---|
| `tasks.py` | starts, finds and stops an ECS task, and explains why it ended |
| `producer.py` | the task `dbt_build`: follows the one container of a run |
| `nodes.py` | the task of a node: runs a container for this node alone |

A container writes its report to S3 (see `include.build.container`), because a log stream cuts long
lines, is delayed and can miss the last lines. The command of a container defines what it builds.
Its credentials come from the task definition and are never passed from here.
"""
