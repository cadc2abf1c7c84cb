"""The configuration of Airflow's secrets backend, as the README of `include/aws/` gives it."""

from __future__ import annotations

import json

BACKEND = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
SECRETS = json.dumps(
    {
        "connections_prefix": "airflow/connections",
        "variables_prefix": None,
        "config_prefix": None,
        "extra_conn_words": {"schema": ["dbname"]},
    }
)
"""The arguments of the backend, for the settings `backend_kwargs` of workers and all others."""
