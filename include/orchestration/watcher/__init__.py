"""One dbt process builds all nodes of a run; each node's own task follows what dbt says of it.

| file | runs in | does |
|---|---|---|
| `build.py` | dbt's environment | runs `dbt build`, prints one line of news per node as it ends |
| `producer.py` | a worker | starts `build.py`, publishes its news as XComs |
| `plugins/game_analytics_triggers.py` | the triggerer | waits; ends the task of a good node |
| `nodes.py` | a worker, for nodes that failed | tells what failed, or builds the node alone |

**The channel** between the producer and the nodes is Airflow's XComs, which every component can
reach, wherever it runs. A producer elsewhere (a container) needs to publish these two, no more:

- of the producer's task, `nodes`: `{"try", "clears", "done", "nodes": {task id: [status, time]}}`,
  what it has said so far: its own try, how often the run's tasks had been cleared when it began,
  whether dbt has ended, and how each node did, with the time at which that was known;
- of a node's task, `dbt`: that node's news, see `build.News`.
"""

NEWS_LINE = "dbt-news "
"""What a line of `build.py` begins with that holds news, in dbt's environment and Airflow's."""
CROSS_MODEL_TESTS = "cross_model_tests"
"""What all tests that span nodes are called together, in the news and as a task."""
