"""dbt's environment: sends what a run has built to an OpenLineage backend, if its URL is set.

| file | does |
|---|---|
| `publication.py` | sends the events of a run that was published; a failure is only a warning |
| `names.py` | the names of tables, folders and jobs by OpenLineage's conventions |
| `columns.py` | the column lineage of a table, as OpenLineage writes it |
| `events.py` | the events of a run, from its artifacts |
| `sender.py` | sends events over HTTP, within a limit of time |

Only `publication.py` is imported when no URL is set, so the client costs nothing then.
"""
