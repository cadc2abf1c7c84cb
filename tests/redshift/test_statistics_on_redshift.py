"""The statistics of the experiments have SciPy's values on the stand-in for Redshift."""

from __future__ import annotations

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")
pytest.importorskip("scipy", reason="SciPy is not installed")

import redshift_connector

from tests.redshift_standin import Cluster
from tests.support.statistics_sql import all_cases, faults, queries


def test_every_macro_has_scipys_values_on_redshift(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(cluster.certificate))
    with redshift_connector.connect(
        host=cluster.host,
        port=cluster.port,
        database=cluster.database,
        user=cluster.user,
        password=cluster.password,
    ) as connection:
        cursor = connection.cursor()
        found = []
        for cases, sql in queries(all_cases()):
            cursor.execute(sql)
            found += faults(cases, cursor.fetchall())
    assert found == []
