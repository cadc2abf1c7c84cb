"""`make run`, `make up`, `make build`, `make retry`. Runs in Airflow's environment of a checkout."""
