"""The proxy works with both drivers: TLS, parameters, transactions, cancellation, faults, logs."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest
import redshift_connector
from redshift_connector.error import Error, InterfaceError

from tests.redshift_standin import Cluster, Fault
from tests.redshift_standin.conftest import Connect, Sql


def test_the_tls_certificate_is_verified(
    cluster: Cluster, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sql.connection._usock.version().startswith("TLS")
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(InterfaceError, match="certificate"):
        redshift_connector.connect(
            host=cluster.host, port=cluster.port, database=cluster.database,
            user=cluster.user, password=cluster.password,
        )  # fmt: skip


@pytest.mark.parametrize("mode", ["disable", "require"])
def test_psycopg2_connects_with_and_without_tls(cluster: Cluster, mode: str) -> None:
    connection = psycopg2.connect(
        host=cluster.host, port=cluster.port, dbname=cluster.database, user=cluster.user,
        password=cluster.password, sslmode=mode,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        cursor.execute("select 1; select 'a;b' || %s", ("c",))
        assert cursor.fetchall() == [("a;bc",)]
    connection.close()


def test_a_wrong_password_is_refused(connect: Connect) -> None:
    with pytest.raises(Error, match="password authentication failed"):
        connect(password="Wrong-Passw0rd")  # noqa: S106


def test_parameters_keep_their_types(sql: Sql) -> None:
    (row,) = sql("select %s::int + 1, %s::varchar, %s::decimal(18,4)", 41, "é'\\", Decimal("1.5"))
    assert row == [42, "é'\\", Decimal("1.5000")]


def test_a_prepared_statement_can_run_again(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a int)")
    for number in range(3):
        sql(f"insert into {schema}.t values (%s)", number)
    assert sql.value(f"select count(*) from {schema}.t") == 3
    assert sql.value(f"select count(*) from {schema}.t") == 3


def test_an_error_aborts_the_transaction(sql: Sql, schema: str) -> None:
    sql(f"create table {schema}.t (a int)")
    sql("begin")
    sql(f"insert into {schema}.t values (1)")
    # A refusal by the proxy aborts the transaction, as an error of PostgreSQL does.
    assert sql.error("select string_agg('a', 'b')").startswith("42883")
    assert sql.error("select 1") == (
        "25P02 current transaction is aborted, commands ignored until end of transaction block"
    )
    sql("rollback")
    assert sql.value(f"select count(*) from {schema}.t") == 0


def test_ddl_is_rolled_back(sql: Sql, schema: str) -> None:
    sql("begin")
    sql(f"create table {schema}.t (a int)")
    sql(f"create view {schema}.v as select a from {schema}.t with no schema binding")
    sql("rollback")
    assert "does not exist" in sql.error(f"select * from {schema}.t")
    assert "does not exist" in sql.error(f"select * from {schema}.v")


def test_statement_timeout_cancels_a_statement(sql: Sql) -> None:
    sql("set statement_timeout to 100")
    error = sql.error(LONG)
    assert error.startswith("57014 Query (")
    assert "cancelled on user's request" in error
    sql("reset statement_timeout")


LONG = "select count(*) from " + ", ".join(
    f"(select 1 union all select 2 union all select 3) as x{i}" for i in range(20)
)


def test_a_cancel_request_cancels_a_statement(cluster: Cluster, sql: Sql) -> None:
    # The request is sent by hand, because psycopg2's cancel() blocks the interpreter in which the
    # proxy runs.
    def cancel() -> None:
        with socket.create_connection((cluster.host, cluster.port)) as connection:
            key = sql.connection._backend_key_data
            connection.sendall(struct.pack("!ii", 16, 80877102) + key)
            connection.recv(1)

    before = cluster.last_number()
    threading.Timer(0.5, cancel).start()
    assert "cancelled on user's request" in sql.error(LONG)
    assert sql.value("select 1") == 1
    assert "canceled" in [query.ended for query in cluster.queries(since=before)]


def test_the_statement_cancel_cancels_another_session(sql: Sql, connect: Connect) -> None:
    other = connect()
    process = sql.value("select pg_backend_pid()")
    threading.Timer(0.5, other, [f"cancel {process}"]).start()
    assert "cancelled on user's request" in sql.error(LONG)


def test_statements_are_logged_with_their_query_group(cluster: Cluster, sql: Sql) -> None:
    before = cluster.last_number()
    assert sql.value("show query_group") == "unset"
    sql("set query_group to 'dag/run/model'")
    assert sql.value("show query_group") == "dag/run/model"
    sql("select 41 + 1 as answer")
    sql.error("select nothing_like_this()")
    sql("reset query_group")
    queries = cluster.queries(since=before)
    assert [(q.sql, q.query_group, q.ended) for q in queries][-3:-1] == [
        ("select 41 + 1 as answer", "dag/run/model", "success"),
        ("select nothing_like_this()", "dag/run/model", "refused"),
    ]
    rows = sql(
        "select trim(query_text), trim(status), trim(error_message) from sys_query_history "
        "where query_label = 'dag/run/model' order by query_id desc limit 2"
    )
    assert rows[0] == [
        "select nothing_like_this()", "failed", "function nothing_like_this() does not exist"
    ]  # fmt: skip
    assert rows[1] == ["select 41 + 1 as answer", "success", None]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("serializable_conflict", "XX000 1023 Serializable isolation violation on table"),
        ("disk_full", "53100 Disk Full"),
        ("permission_denied", "42501 permission denied for relation"),
        ("statement_timeout", "57014 Query ("),
    ],
)
def test_a_fault_of_a_statement_raises_redshifts_error(
    cluster: Cluster, sql: Sql, fault: str, error: str
) -> None:
    cluster.inject(Fault("strike", fault, times=2))
    for _ in range(2):
        assert sql.error("select 'strike'").startswith(error)
    assert sql.value("select 'strike'") == "strike"


def test_faults_drop_a_connection_and_refuse_a_login(
    cluster: Cluster, sql: Sql, connect: Connect
) -> None:
    cluster.inject(
        Fault("in the middle", "drop_connection"), Fault("^awsuser$", "expired_credentials")
    )
    with pytest.raises((Error, OSError)):
        sql("select 'in the middle'")
    with pytest.raises(Error, match="password authentication failed"):
        connect()
    assert connect().value("select 1") == 1


def test_the_command_runs_until_its_standard_input_closes(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.redshift_standin", tmp_path / "cluster"],
        cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert '"superuser_port"' in process.stdout.readline()
        started = time.monotonic()
        process.stdin.close()
        assert process.wait(20) == 0
        assert time.monotonic() - started < 20
