"""dbt's environment: the entry point of the dbt image, which runs one command and reports.

| file | does |
|---|---|
| `__main__.py` | the command line, signals, exit codes |
| `commands.py` | `build` (a whole run, for Step Functions), `follow` (Airflow), `dbt …` (Cosmos) |

The report (`include/build/reports.py`) is written below the setting DOCS. Its folder `<DOCS>/runs/<run>/<command>/` gets these
files:

- `events/<number>.jsonl`: a line for each node that ended, a `NodeResult` of `include.messages`;
- dbt's `manifest.json`, `run_results.json`, `sources.json`, `catalog.json`, `compiled/`, `dbt.log`;
- `result.json`, a `RunResult`, as the last file: when it exists, the report is complete. Only a
  `build` that is tried again writes there once more, because all its tries share the folder.

A `follow` finds its `request.json`, a `BuildRequest`, in the folder of its report.
"""
