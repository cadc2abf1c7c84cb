"""The programs that the DAG's tasks and the container start. Runs in dbt's environment."""
