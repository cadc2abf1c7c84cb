"""dbt's environment: parses raw files of ledger and costs into one Parquet file per day."""
