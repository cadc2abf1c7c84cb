"""dbt's environment: the tables of schema `spectrum` on each engine."""
