"""dbt's environment: the programs that run dbt and report what it did."""
