"""Airflow's environment: the operators, triggers' counterparts and alerts of the DAGs."""
