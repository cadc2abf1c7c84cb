"""dbt's environment: the programs that run dbt and publish its results.

| file | does |
|---|---|
| `preflight.py` | checks what a run needs, before the run starts |
| `run_dbt.py` | runs `dbt build` for a run |
| `node_results.py` | makes one `NodeResult` per node of dbt's events |
| `reports.py` | writes the artifacts and results of a dbt process into DOCS |
| `failing_rows.py` | fetches the rows that a failed test found |
| `kpis.py` | prints the KPI table at the end of a run |
| `container/` | the entry point of the dbt image |
"""
