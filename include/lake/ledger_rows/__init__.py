"""dbt's environment: parses the ledger's and cost files, and separates good from bad rows.

| file | does |
|---|---|
| `refresh.py` | keeps one Parquet file with the rows of each partition in the lake |
| `write.py` | writes the rows of raw files to one Parquet file |
| `rows.py` | the rows that the parsers return, the reasons of bad rows, and faults of files |
| `text_lines.py` | decompresses and decodes a text file in blocks of whole lines |
| `delimited.py` | parses CSV and TSV files, whose dialect comes from the header |
| `quotes.py` | recognises well-formed quotes, and values that span several lines |
| `json_lines.py` | parses files of one JSON object per line |
| `parquet_rows.py` | converts Parquet files to text columns |
"""
