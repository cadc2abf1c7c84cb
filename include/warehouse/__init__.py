"""dbt's environment: connections to DuckDB and Redshift, build lock, grants, masking.

| file | does |
|---|---|
| `database.py` | opens the warehouse of the settings, with one interface for both engines |
| `duckdb_file.py` | opens the DuckDB file |
| `duckdb_plugin.py` | limits the memory of dbt's connections to it |
| `redshift.py` | connects to Redshift with dbt's profile |
| `build_lock.py` | lets one run build in a warehouse at a time |
| `grants.py` | grants the setting READERS the schema of the marts |
| `masking.py` | hides the identifiers of the marts from their readers, on Redshift |
"""
