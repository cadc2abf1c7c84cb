"""dbt's environment: the entry point of the dbt image, which runs one command and reports.

| file | does |
|---|---|
| `__main__.py` | the command line, signals, exit codes |
| `commands.py` | `build` (a whole run, for Step Functions), `follow` (Airflow), `dbt …` (Cosmos) |

The report (`include/build/reports.py`) is written below the setting DOCS. These files go into its
folder `<DOCS>/runs/<run>/<command>/`:

- `events/<number>.jsonl`: a line for each node that ended, a `NodeResult` of `include.messages`;
- dbt's `manifest.json`, `run_results.json`, `sources.json`, `compiled/`, `dbt.log`;
- `result.json`, a `RunResult`, as the last file: when it exists, the report is complete. Only a
  `build` that is tried again writes there once more, because all its tries share the folder.

Before a `build` writes `result.json`, it publishes the pages of its run, as the task `publish` of
the DAG does. The pages of a `follow` and of a `dbt …` are published by that task.

A `follow` finds its `request.json`, a `BuildRequest`, in the folder of its report.
"""
