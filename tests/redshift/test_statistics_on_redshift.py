"""The statistics of the experiments have SciPy's values on the stand-in for Redshift."""

from __future__ import annotations

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")
pytest.importorskip("scipy", reason="SciPy is not installed")

import redshift_connector

from tests.redshift_standin import Cluster
from tests.support.statistics_sql import all_cases, faults, query


def test_every_macro_has_scipys_values_on_redshift(cluster: Cluster) -> None:
    with redshift_connector.connect(
        host=cluster.host,
        port=cluster.port,
        database=cluster.database,
        user=cluster.user,
        password=cluster.password,
    ) as connection:
        cursor = connection.cursor()
        cases = all_cases()
        found = []
        # A query of PostgreSQL has 1,664 columns at most, and its text must not be too long.
        for first in range(0, len(cases), 50):
            part = cases[first : first + 50]
            cursor.execute(query(part))
            found += faults(part, tuple(cursor.fetchone()))
    assert found == []
