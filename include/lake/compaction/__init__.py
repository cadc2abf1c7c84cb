"""dbt's environment: merges the small files of each day of events into few Parquet files.

| file | does |
|---|---|
| `compact.py` | finds the files to merge, and writes their rows as one Parquet file |
| `moves.py` | moves the merged files away or undoes a merge, and stops builds meanwhile |
| `journal.py` | the journal in the lake, by which a stopped compaction is ended |
| `store.py` | what a compaction does with the files of a lake |
| `folder.py` | does that in a folder |
| `s3.py` | does that in S3 |
| `s3_lock.py` | the lock of a compaction in S3 |
"""
