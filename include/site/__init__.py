"""dbt's environment: the pages that a run publishes.

| file | does |
|---|---|
| `report/` | writes the KPI report: numbers of the marts, charts and definitions on one page |
"""
