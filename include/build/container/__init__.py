"""What runs in the dbt image: one command that runs dbt, and tells of it in the setting DOCS.

| file | does |
|---|---|
| `__main__.py` | the command line, signals, exit codes |
| `commands.py` | `build` (the whole, for Step Functions), `follow` (Airflow), `dbt …` (Cosmos) |
| `reports.py` | uploads the events while dbt runs, the artifacts and `result.json` after it |

Below `<DOCS>/runs/<run>/<part>/` lie `events/<number>.jsonl` (a line per node that ended, see
`include.build.run_dbt.News`), dbt's `manifest.json`, `run_results.json`, `sources.json`,
`catalog.json`, `compiled/` and `dbt.log`, and at last `result.json`: when that is there, nothing
else will come, but for a `build` that is tried again, all tries of which share the folder. A
`follow` finds its `request.json` there.
"""

ARTIFACTS = "CONTAINER_ARTIFACTS"
"""The variable that says where a `dbt …` command reports: a folder, or a prefix in S3."""
FINGERPRINT = "PROJECT_FINGERPRINT"
"""The variable that says which dbt project the DAG has; the image must hold the same."""
RESULT = "result.json"
REQUEST = "request.json"
EVENTS = "events/"
TRY_AGAIN = 75
"""The exit code when the same may go well later (`EX_TEMPFAIL` of sysexits.h)."""
LOGIN_REFUSED = 77
"""The exit code when it may go well at once: a password may have been rotated a moment ago. If not,
nobody should wait to hear of it (`EX_NOPERM`)."""
