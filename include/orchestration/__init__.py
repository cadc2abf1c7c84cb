"""The operators, alerts and Cosmos rendering of the DAGs. Runs in Airflow's environment."""
