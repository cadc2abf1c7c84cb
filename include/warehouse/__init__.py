"""dbt's environment: connections to DuckDB and Redshift, the build lock and the grants."""
