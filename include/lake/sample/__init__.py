"""dbt's environment: generates reproducible sample data."""
