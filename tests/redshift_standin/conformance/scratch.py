"""Where the statements run: a schema and, if they can be had, users and a lake; all is dropped."""

from __future__ import annotations

import io
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redshift_connector
from redshift_connector.error import Error as DriverError

from tests.redshift_standin.conformance import Entry, Error, File, Rows

Connect = Callable[[dict[str, str]], Any]
"""A new connection of redshift_connector's; `user` and `password` if it is not the usual one."""

SCALARS = (bool, int, float, str)


class LostSession(Exception):  # noqa: N818 - what happened, which tells nothing of the statement
    """The connection broke, or the driver gave up."""


@dataclass(frozen=True)
class Lake:
    """A prefix of S3 to write below, the role that Redshift reads it with, and a client of S3's."""

    uri: str
    role: str
    client: Any

    def put(self, key: str, data: bytes) -> None:
        bucket, prefix = self._place()
        self.client.put_object(Bucket=bucket, Key=f"{prefix}/{key}".lstrip("/"), Body=data)

    def delete(self, folder: str) -> None:
        bucket, prefix = self._place()
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{prefix}/{folder}/".lstrip("/")
        )
        for key in [entry["Key"] for page in pages for entry in page.get("Contents", [])]:
            self.client.delete_object(Bucket=bucket, Key=key)

    def _place(self) -> tuple[str, str]:
        bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        return bucket, prefix.strip("/")


def arguments(environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of redshift_connector's that the REDSHIFT_* of dbt/profiles.yml stand for.

    Raises KeyError for a variable that is missing.
    """
    sslmode = environ.get("REDSHIFT_SSLMODE", "prefer")
    given: dict[str, Any] = {
        "database": environ["REDSHIFT_DBNAME"],
        "port": int(environ.get("REDSHIFT_PORT", "5439")),
    }
    # As dbt-redshift does: whatever is no "disable" verifies the certificate.
    given |= (
        {"ssl": False}
        if sslmode == "disable"
        else {"ssl": True, "sslmode": "verify-full" if sslmode == "verify-full" else "verify-ca"}
    )
    if environ.get("REDSHIFT_METHOD", "database") == "database":
        return given | {
            "host": environ["REDSHIFT_HOST"],
            "user": environ["REDSHIFT_USERNAME"],
            "password": environ["REDSHIFT_PASSWORD"],
        }
    given |= {"iam": True}
    optional = {
        "host": "REDSHIFT_HOST",
        "cluster_identifier": "REDSHIFT_CLUSTER_ID",
        "region": "REDSHIFT_REGION",
    }
    # An iam_role has no user of the database's: it is derived from who asks.
    if environ["REDSHIFT_METHOD"] == "iam":
        optional["db_user"] = "REDSHIFT_USERNAME"
    return given | {key: environ[name] for key, name in optional.items() if environ.get(name)}


def connector(given: Mapping[str, Any]) -> Connect:
    """Connects with `arguments`."""

    def connect(login: dict[str, str]) -> Any:
        used = dict(given)
        if login:
            # They have a password, whatever the usual user has.
            for key in ("iam", "db_user", "cluster_identifier", "region"):
                used.pop(key, None)
        connection = redshift_connector.connect(**{**used, **login})
        connection.autocommit = True
        return connection

    return connect


class Session:
    """A connection of one user's; what it raises is either an answer or a LostSession."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        # In the usual style a modulo would have to be doubled.
        self._cursor.paramstyle = "qmark"

    def run(self, sql: str) -> Rows | Error:
        try:
            self._cursor.execute(sql)
            rows = self._cursor.fetchall() if self._cursor.description else ()
        except DriverError as error:
            fields = error.args[0] if error.args else None
            if not isinstance(fields, dict) or str(fields.get("C", "")).startswith(("08", "57P")):
                raise LostSession(str(error)) from error
            told = " ".join(str(fields[key]) for key in "MD" if key in fields)
            return Error(str(fields.get("C", "")), told)
        except (OSError, EOFError, AttributeError, TypeError) as error:
            # The driver's own, once its socket is gone or an answer is not as it should be.
            raise LostSession(repr(error)) from error
        return [[_plain(value) for value in row] for row in rows]

    def close(self) -> None:
        try:
            self._connection.close()
        except (DriverError, OSError):
            # It is gone already.
            return


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, SCALARS) else str(value)


@dataclass
class Scratch:
    """A schema of its own in which entries run. `lacks` says why a need is not offered."""

    connect: Connect
    schema: str
    lake: Lake | None = None
    passwords: dict[str, str] = field(default_factory=dict)
    offers: set[str] = field(default_factory=lambda: {""})
    lacks: dict[str, str] = field(default_factory=dict)

    def run(self, entry: Entry) -> str:
        """Empty, or how the outcome differs from the documented one."""
        if entry.needs not in self.offers:
            raise ValueError(f"{entry.name} needs {entry.needs}")
        try:
            return self._run(entry)
        except LostSession as reason:
            return f"expected {entry.error or entry.rows}, but the session was lost: {reason}"

    def _run(self, entry: Entry) -> str:
        for file in entry.files:
            self._write(file, entry)
        with self.session() as session:
            for step in entry.setup:
                outcome = session.run(self.text(step.sql, entry))
                refused = isinstance(outcome, Error)
                if refused != (step.error is not None) or (
                    isinstance(outcome, Error) and step.error and not step.error.fits(outcome)
                ):
                    return (
                        f"expected {step.error or 'that it goes well'} of {step.sql}, got {outcome}"
                    )
            if not entry.as_user:
                return entry.difference(session.run(self.text(entry.sql, entry)))
        user = self.text(entry.as_user, entry)
        with self.session({"user": user, "password": self.passwords[user]}) as session:
            return entry.difference(session.run(self.text(entry.sql, entry)))

    @contextmanager
    def session(self, login: dict[str, str] | None = None) -> Iterator[Session]:
        """One for each entry: no setting, temporary table or transaction of another is seen."""
        try:
            session = Session(self.connect(login or {}))
        except (DriverError, OSError) as error:
            raise LostSession(str(error)) from error
        try:
            yield session
        finally:
            session.close()

    def names(self) -> dict[str, str]:
        kinds = ("reader", "stranger", "member", "group", "role")
        return {
            "schema": self.schema,
            "external": f"{self.schema}_lake",
            "lake": f"{self.lake.uri.rstrip('/')}/{self.schema}" if self.lake else "",
            **{kind: f"{self.schema}_{kind}" for kind in kinds},
        }

    def text(self, text: str, entry: Entry) -> str:
        """With the names in place; other braces are JSON's and regular expressions'."""
        names = self.names() | {"name": entry.name, "eighty": f"{entry.name}_{'x' * 80}"[:80]}
        return re.sub(rf"\{{({'|'.join(names)})\}}", lambda found: names[found[1]], text)

    def _write(self, file: File, entry: Entry) -> None:
        assert self.lake
        key = f"{self.schema}/{self.text(file.key, entry)}"
        if file.parquet is None:
            self.lake.put(key, file.text.encode())
            return
        # Only the lake's entries need it.
        import pyarrow as pa
        import pyarrow.parquet as pq

        written = io.BytesIO()
        pq.write_table(pa.table(dict(file.parquet)), written)
        self.lake.put(key, written.getvalue())


@contextmanager
def scratch(connect: Connect, lake: Lake | None = None, prefix: str = "") -> Iterator[Scratch]:
    """A scratch schema, and with the rights to it users and an external schema.

    What is made is dropped at the end; what cannot be dropped is named on stderr.
    Raises LostSession without a connection, PermissionError if not even a schema can be made.
    """
    made = Scratch(connect, f"{prefix}conformance_{secrets.token_hex(4)}", lake)
    drops: list[str] = []
    try:
        with made.session() as session:
            _make(made, session, drops)
        yield made
    finally:
        if drops:
            _drop(made, drops)


def _make(made: Scratch, session: Session, drops: list[str]) -> None:
    def make(sql: str, drop: str) -> Error | None:
        outcome = session.run(sql)
        if isinstance(outcome, Error):
            return outcome
        drops.append(drop)
        return None

    names = made.names()
    schema, external = names["schema"], names["external"]
    if refused := make(f"create schema {schema}", f"drop schema {schema} cascade"):
        raise PermissionError(f"no schema can be made: {refused}")
    made.lacks["users"] = _make_users(made, session, make) or _try_login(made)
    if not made.lacks["users"]:
        made.offers.add("users")
        del made.lacks["users"]
    if not made.lake:
        made.lacks["spectrum"] = "no prefix of S3 and no role for it are given"
        return
    role = made.lake.role
    refused = make(
        f"create external schema {external} from data catalog database '{external}' "
        f"iam_role {role if role == 'default' else repr(role)} "
        "create external database if not exists",
        f"drop schema {external} drop external database cascade",
    )
    if refused:
        made.lacks["spectrum"] = str(refused)
    else:
        made.offers.add("spectrum")


def _make_users(made: Scratch, session: Session, make: Callable[[str, str], Error | None]) -> str:
    """Why they cannot be made, or nothing."""
    names = made.names()
    for kind in ("reader", "stranger", "member"):
        user, password = names[kind], f"Aa1{secrets.token_hex(12)}"
        made.passwords[user] = password
        if refused := make(f"create user {user} password '{password}'", f"drop user {user}"):
            return str(refused)
    group, role, schema = names["group"], names["role"], names["schema"]
    if refused := make(
        f"create group {group} with user {names['member']}", f"drop group {group}"
    ) or make(f"create role {role}", f"drop role {role} force"):
        return str(refused)
    # {stranger} stays one: he may not even look into the schema.
    for grantee in (names["reader"], f"group {group}"):
        outcome = session.run(f"grant usage on schema {schema} to {grantee}")
        if isinstance(outcome, Error):
            return str(outcome)
    return ""


def _try_login(made: Scratch) -> str:
    user = made.names()["reader"]
    try:
        with made.session({"user": user, "password": made.passwords[user]}):
            return ""
    except LostSession as reason:
        return f"they cannot log in: {reason}"


def _drop(made: Scratch, drops: list[str]) -> None:
    left: list[str] = []
    drops = [*drops, *_made_by_entries(made, left)]
    # Schemas first: nobody is dropped who owns something or has a right to it.
    for drop in sorted(drops, key=lambda drop: not drop.startswith("drop schema")):
        try:
            with made.session() as session:
                outcome = session.run(drop)
        except LostSession as reason:
            outcome = Error(message=str(reason))
        if isinstance(outcome, Error):
            left.append(f"{drop}: {outcome}")
    if made.lake and "spectrum" in made.offers:
        try:
            made.lake.delete(made.schema)
        except Exception as error:  # noqa: BLE001 - of whatever client; the rest is dropped by now
            left.append(f"{made.names()['lake']}: {error}")
    for what in left:
        print(f"Left behind, please drop it: {what}", file=sys.stderr)


def _made_by_entries(made: Scratch, left: list[str]) -> list[str]:
    """How to drop what entries made, some of which should have been refused."""
    known = set(made.names().values())
    drops: list[str] = []
    for drop, column, table in (
        ("drop schema {} cascade", "nspname", "pg_namespace"),
        ("drop user {}", "usename", "pg_user"),
    ):
        start = f"{made.schema}_"
        sql = f"select {column} from {table} where left({column}, {len(start)}) = '{start}'"
        try:
            with made.session() as session:
                outcome = session.run(sql)
        except LostSession as reason:
            outcome = Error(message=str(reason))
        if isinstance(outcome, Error):
            left.append(f"what entries made, as told by {table}: {outcome}")
            continue
        drops += [drop.format(name) for (name,) in outcome if name not in known]
    return drops
