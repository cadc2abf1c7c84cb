"""dbt's environment: finds and records the days that a run builds.

| file | does |
|---|---|
| `find.py` | the first step of a build: finds the touched days |
| `record.py` | the last step of a build: records that the days are built |
| `tables.py` | the tables of schema `operations`, which both steps read and write |
| `checked_days.py` | checks the event files of each day once |
| `checksums.py` | detects changes of seeds and of incremental models |
| `lost_rows.py` | stops a run if a source has lost its files or most of its rows |
| `expiry.py` | detects expired days, whose rows must stay |
| `freshness.py` | finds the stale sources |
"""
