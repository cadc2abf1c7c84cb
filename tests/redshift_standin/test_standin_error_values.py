"""No value of a table remains in an error of the stand-in, once it is masked for an alert."""

from __future__ import annotations

import pytest

pytest.importorskip("redshift_connector", reason="runs in dbt's environment")

from hypothesis import HealthCheck, given, settings

from include.engine_text import without_values
from tests.redshift_standin.conftest import Sql
from tests.support.hostile_values import VALUES, remains

CASTS = ("integer", "bigint", "date", "timestamp", "boolean", "decimal(5, 2)", "double precision")


def test_no_value_remains_in_an_error_of_the_standin(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.bets (stake integer not null, country varchar(3))")
    quoted: list[str] = []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(VALUES)
    def holds(value: str) -> None:
        literal = value.replace("\\", "\\\\").replace("'", "''")
        for statement in (
            *(f"select cast('{literal}' as {kind})" for kind in CASTS),
            f"insert into {schema}.bets values ('{literal}', 'a')",
            f"insert into {schema}.bets values (1, '{literal}')",
            f"insert into {schema}.bets values (null, '{literal[:1]}')",
            f"select date_trunc('{literal}', sysdate)",
            f"select json_parse('{literal}')",
        ):
            try:
                sql(statement)
            except Exception as error:  # noqa: BLE001
                # The driver raises an error of its own class for each state of the server.
                text = str(error)
            else:
                continue
            quoted.extend(remains(text, value))
            masked = without_values(text, shown="select stake, country from marts.bets")
            assert not remains(masked, value), (masked, text)

    holds()
    assert quoted
