"""dbt in Fargate tasks: one for the whole build (`EXECUTION=fargate`), or one per node (`ecs`).

| file | does |
|---|---|
| `tasks.py` | starts, finds, stops and explains a task of ECS |
| `producer.py` | the task `dbt_build`: follows the one container of a run |
| `nodes.py` | the task of a node: runs a container for this node alone |

Containers report through S3, see `include.build.container`: a log stream cuts long lines, comes
late and ends early. Every container of a run gets what it works on as its command; its credentials
come from the task definition, never from here.
"""
