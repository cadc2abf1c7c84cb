"""dbt's environment: landing, sample data, the lake's listing, a run's days, external tables."""
