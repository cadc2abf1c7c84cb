"""The commands of a laptop, such as `make run`. They run in Airflow's environment of a checkout."""
