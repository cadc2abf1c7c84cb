"""dbt's environment: finds and records the days that a run builds."""
