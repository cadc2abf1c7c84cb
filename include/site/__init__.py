"""dbt's environment: what a run publishes for people, below the setting DOCS.

| file | does |
|---|---|
| `lineage/` | finds the column lineage of all models, and follows personal data along it |
"""
