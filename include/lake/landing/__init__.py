"""dbt's environment: parses event files and writes them into the lake.

| file | does |
|---|---|
| `landing.py` | lands files and folders, and reports the counts |
| `folder_search.py` | finds the event files of a folder, and names what cannot be read there |
| `event_files.py` | opens event files, and reads them in blocks of whole lines |
| `records.py` | parses lines that may have several JSON objects side by side |
| `envelope.py` | parses lines with one JSON object into the columns of `raw_events/` |
| `parquet_files.py` | writes the rows of one event file as Parquet, by day |
| `landing_zone.py` | moves the Parquet files of an event file into the lake: all of them or none |
"""
