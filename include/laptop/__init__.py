"""The commands of a laptop: Airflow started, a run followed, and all of it stopped again."""
