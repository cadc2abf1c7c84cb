"""dbt's environment: parses event files and writes them into the lake.

| file | does |
|---|---|
| `landing.py` | lands files and folders, and reports the counts |
| `event_files.py` | finds event files, and reads them in blocks of whole lines |
| `envelope.py` | parses lines into the columns of `raw_events/` |
| `parquet_files.py` | writes the rows of one event file as Parquet, by day |
| `landing_zone.py` | moves the Parquet files of an event file into the lake: all of them or none |
"""
