"""Airflow's environment: execution mode `watcher`, in which node tasks follow one dbt process.

| file | runs in | does |
|---|---|---|
| `include/build/run_dbt.py` | dbt's environment | finds the stale sources, runs `dbt build` |
| `producer.py` | a worker | starts `run_dbt.py` with the run, publishes its results as XComs |
| `plugins/game_analytics_triggers.py` | the triggerer | waits; ends the task of a good node |
| `nodes.py` | a worker, for nodes that failed | raises what failed, or builds the node alone |
| `older_airflow.py` | a worker | what replaces functions of Airflow 3.3 in Airflow 3.2 |

The producer and the node tasks communicate through Airflow's XComs, which every component can
reach on any host. A producer that runs dbt elsewhere, in a container, publishes the same two XComs:

- `nodes` of the producer's task: a `Progress` of `include.messages`, with the status of each node;
- `dbt` of a node's task: the `NodeResult` of that node.

In Airflow 3.3 a node task starts in the triggerer. In Airflow 3.2 each node task first starts on a
worker, which only hands it to the triggerer; everything after that is the same.

The task `freshness` waits in the same way, unless dbt runs in a container. Its result is published
as its own XCom `return_value`, and its status in the `Progress`.
"""
