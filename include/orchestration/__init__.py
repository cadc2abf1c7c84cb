"""What the DAGs consist of: operators, alerts, rendering of nodes. Runs in Airflow's environment."""
