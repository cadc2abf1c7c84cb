"""dbt's environment: the files of the lake, and the days that a run builds.

| file | does |
|---|---|
| `__main__.py` | the commands `land`, `generate`, `partitions`, `record`, `freshness`, `compact` |
| `sources.py` | reads the sources from the manifest |
| `storage/` | lists, reads and writes the files of a lake, in a folder or in S3 |
| `listing.py` | lists the partitions of the lake and their files |
| `files.py` | checks the files that a run reads for the first time |
| `run_days/` | finds and records the days that a run builds |
| `ledger_rows/` | parses the ledger's and cost files, and separates good from bad rows |
| `external_tables/` | creates the tables of schema `spectrum` |
| `compaction/` | merges small files into few Parquet files |
| `landing/` | parses event files and writes them into the lake |
| `sample/` | generates reproducible sample data |
"""
