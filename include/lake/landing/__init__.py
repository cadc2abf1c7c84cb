"""dbt's environment: parses event files and writes them into the lake."""
