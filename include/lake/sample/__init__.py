"""dbt's environment: generates reproducible sample data.

| file | does |
|---|---|
| `sample.py` | writes a sample into the lake |
| `events.py` | generates the events |
| `ledger.py` | generates the ledger and the costs |
| `day_lines.py` | keeps lines by day, on disk if they are many |
"""
