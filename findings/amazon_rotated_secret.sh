#!/usr/bin/env bash
# apache-airflow-providers-amazon 9.34.0: a Redshift secret in AWS's own format gives a connection without a database.
#
# Expected: AWS Secrets Manager documents the JSON of a Redshift secret, which its rotation function reads and writes:
# engine, host, username, password, dbname, port. The secrets backend documents that it reads JSON secrets and accepts
# several words for each field (user or username, host or url), so the database should be the connection's schema.
# What happens: the backend knows database and schema, but not dbname. The connection has the right host, user and
# password, and an empty schema, which the Redshift hook and Cosmos take as the name of the database. The key is dropped
# without a warning. The argument extra_conn_words={"schema": ["dbname"]} is needed.
# Why it matters: renaming the key in the secret repairs Airflow and breaks the rotation, which needs dbname.
# This product's templates set extra_conn_words, and its preflight names the setting if the database is missing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    apache-airflow-core==3.3.1 apache-airflow-providers-amazon==9.34.0 'moto[secretsmanager]==5.2.5'

export AIRFLOW_HOME="$folder/airflow" AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR
export AWS_ACCESS_KEY_ID=unused AWS_SECRET_ACCESS_KEY=unused AWS_DEFAULT_REGION=eu-west-1

venv/bin/python - <<'PYTHON' 2>airflow.log || { cat airflow.log >&2; exit 1; }
import importlib.metadata
import json
import sys

import boto3
from moto import mock_aws

secret = {
    "engine": "redshift",
    "host": "shop.example.com",
    "port": 5439,
    "username": "etl",
    "password": "correct horse battery staple",
    "dbname": "analytics",
}

with mock_aws():
    from airflow.providers.amazon.aws.secrets.secrets_manager import SecretsManagerBackend

    boto3.client("secretsmanager").create_secret(
        Name="airflow/connections/redshift_default", SecretString=json.dumps(secret)
    )
    plain = SecretsManagerBackend(connections_prefix="airflow/connections").get_connection("redshift_default")
    with_words = SecretsManagerBackend(
        connections_prefix="airflow/connections", extra_conn_words={"schema": ["dbname"]}
    ).get_connection("redshift_default")

print(f"apache-airflow-providers-amazon {importlib.metadata.version('apache-airflow-providers-amazon')}")
print("A secret in the format of AWS's rotation has dbname = analytics. The connection that the backend returns:")
for name, connection in (("default arguments", plain), ("extra_conn_words", with_words)):
    print(f"    {name}: host={connection.host} login={connection.login} schema={connection.schema!r}")

if (plain.host, plain.login, plain.schema or "", plain.extra_dejson) != ("shop.example.com", "etl", "", {}):
    sys.exit("The behaviour has changed: the connection should have a host, a login, no schema and no extra.")
if with_words.schema != "analytics":
    sys.exit("The behaviour has changed: extra_conn_words should yield the schema analytics.")
PYTHON
