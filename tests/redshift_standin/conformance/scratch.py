"""The scratch schema in which the statements run, with users and a lake if they can be created.

Everything that is created is dropped at the end.
"""

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
"""Opens a connection of redshift_connector. `user` and `password` are given for another user."""

SCALARS = (bool, int, float, str)


class LostSession(Exception):  # noqa: N818 - it is not an error of the statement
    """The connection was closed, or the driver failed."""


@dataclass(frozen=True)
class Lake:
    """An S3 prefix below which files are written.

    `role` is the role with which Redshift reads the files, and `client` is an S3 client.
    """

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
    """Return redshift_connector's arguments for the variables REDSHIFT_* of dbt/profiles.yml.

    Raises KeyError for a variable that is missing.
    """
    sslmode = environ.get("REDSHIFT_SSLMODE", "prefer")
    given: dict[str, Any] = {
        "database": environ["REDSHIFT_DBNAME"],
        "port": int(environ.get("REDSHIFT_PORT", "5439")),
    }
    # dbt-redshift verifies the certificate with every sslmode except "disable".
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
    # With the method iam_role, Redshift derives the database user from the caller's identity.
    if environ["REDSHIFT_METHOD"] == "iam":
        optional["db_user"] = "REDSHIFT_USERNAME"
    return given | {key: environ[name] for key, name in optional.items() if environ.get(name)}


def connector(given: Mapping[str, Any]) -> Connect:
    """Return a function that connects with these arguments."""

    def connect(login: dict[str, str]) -> Any:
        used = dict(given)
        if login:
            # The users of the entries log in with a password, even if the usual user does not.
            for key in ("iam", "db_user", "cluster_identifier", "region"):
                used.pop(key, None)
        connection = redshift_connector.connect(**{**used, **login})
        connection.autocommit = True
        return connection

    return connect


class Session:
    """A connection of one user. An error of Redshift is returned, and LostSession is raised."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        # With the default paramstyle, the operator % would have to be doubled.
        self._cursor.paramstyle = "qmark"

    def run(self, sql: str) -> Rows | Error:
        try:
            self._cursor.execute(sql)
            rows = self._cursor.fetchall() if self._cursor.description else ()
        except DriverError as error:
            fields = error.args[0] if error.args else None
            if not isinstance(fields, dict) or str(fields.get("C", "")).startswith(("08", "57P")):
                raise LostSession(str(error)) from error
            message = " ".join(str(fields[key]) for key in "MD" if key in fields)
            return Error(str(fields.get("C", "")), message)
        except (OSError, EOFError, AttributeError, TypeError) as error:
            # The driver raises these when its socket is closed or an answer is malformed.
            raise LostSession(repr(error)) from error
        return [[_plain(value) for value in row] for row in rows]

    def close(self) -> None:
        try:
            self._connection.close()
        except (DriverError, OSError):
            # The connection is closed already.
            return


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, SCALARS) else str(value)


@dataclass
class Scratch:
    """A new schema in which entries run.

    `offers` holds the needs of entries that can run, and `lacks` the reason for every other need.
    """

    connect: Connect
    schema: str
    lake: Lake | None = None
    passwords: dict[str, str] = field(default_factory=dict)
    offers: set[str] = field(default_factory=lambda: {""})
    lacks: dict[str, str] = field(default_factory=dict)

    def run(self, entry: Entry) -> str:
        """Run an entry. Returns how the outcome differs from the documented one, or nothing."""
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
                    return f"expected {step.error or 'success'} of {step.sql}, got {outcome}"
            if not entry.as_user:
                return entry.difference(session.run(self.text(entry.sql, entry)))
        user = self.text(entry.as_user, entry)
        with self.session({"user": user, "password": self.passwords[user]}) as session:
            return entry.difference(session.run(self.text(entry.sql, entry)))

    @contextmanager
    def session(self, login: dict[str, str] | None = None) -> Iterator[Session]:
        """Open a session. Each entry has its own, so no entry sees the settings of another."""
        try:
            session = Session(self.connect(login or {}))
        except (DriverError, OSError) as error:
            raise LostSession(str(error)) from error
        try:
            yield session
        finally:
            session.close()

    def names(self) -> dict[str, str]:
        kinds = ("reader", "stranger", "member", "group", "role", "mask", "plain")
        return {
            "schema": self.schema,
            "external": f"{self.schema}_lake",
            "lake": f"{self.lake.uri.rstrip('/')}/{self.schema}" if self.lake else "",
            **{kind: f"{self.schema}_{kind}" for kind in kinds},
        }

    def text(self, text: str, entry: Entry) -> str:
        """Replace the names in a text. Other braces belong to JSON and regular expressions."""
        names = self.names() | {"name": entry.name, "eighty": f"{entry.name}_{'x' * 80}"[:80]}
        return re.sub(rf"\{{({'|'.join(names)})\}}", lambda found: names[found[1]], text)

    def _write(self, file: File, entry: Entry) -> None:
        assert self.lake
        key = f"{self.schema}/{self.text(file.key, entry)}"
        if file.parquet is None:
            self.lake.put(key, file.text.encode())
            return
        # Only entries with files need pyarrow, so it is imported here.
        import pyarrow as pa
        import pyarrow.parquet as pq

        written = io.BytesIO()
        pq.write_table(pa.table(dict(file.parquet)), written)
        self.lake.put(key, written.getvalue())


@contextmanager
def scratch(connect: Connect, lake: Lake | None = None, prefix: str = "") -> Iterator[Scratch]:
    """Create a scratch schema, and users and an external schema if the user has the rights.

    All of it is dropped at the end, and stderr lists what cannot be dropped. Raises LostSession if
    there is no connection, and PermissionError if no schema can be created.
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
        raise PermissionError(f"the user cannot create a schema: {refused}")
    made.lacks["users"] = _make_users(made, session, make) or _try_login(made)
    if not made.lacks["users"]:
        made.offers.add("users")
        del made.lacks["users"]
        _offer_masking(made, make)
    else:
        made.lacks["masking"] = made.lacks["users"]
    if not made.lake:
        made.lacks["spectrum"] = "no S3 prefix and no role for it are given"
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
    """Create the users, the group and the role. Returns why they cannot be created, or nothing."""
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
    # {stranger} gets no right, not even USAGE on the schema.
    for grantee in (names["reader"], f"group {group}"):
        outcome = session.run(f"grant usage on schema {schema} to {grantee}")
        if isinstance(outcome, Error):
            return str(outcome)
    return ""


def _offer_masking(made: Scratch, make: Callable[[str, str], Error | None]) -> None:
    """Create the masking policies, which needs a superuser or the role sys:secadmin."""
    names = made.names()
    hashed = "cast(left(sha2(value || 'salt', 256), 32) as varchar(40))"
    for name, expression in ((names["mask"], hashed), (names["plain"], "value")):
        refused = make(
            f"create masking policy {name} with (value varchar(40)) using ({expression})",
            f"drop masking policy {name}",
        )
        if refused:
            made.lacks["masking"] = str(refused)
            return
    made.offers.add("masking")


def _try_login(made: Scratch) -> str:
    user = made.names()["reader"]
    try:
        with made.session({"user": user, "password": made.passwords[user]}):
            return ""
    except LostSession as reason:
        return f"the created users cannot log in: {reason}"


def _drop(made: Scratch, drops: list[str]) -> None:
    left: list[str] = []
    drops = [*drops, *_made_by_entries(made, left)]
    # Schemas come first, because a user who owns a relation or has a right to it cannot be dropped.
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
        except Exception as error:  # noqa: BLE001 - it is reported with what else is left
            left.append(f"{made.names()['lake']}: {error}")
    for what in left:
        print(f"This could not be dropped. Please drop it: {what}", file=sys.stderr)


def _made_by_entries(made: Scratch, left: list[str]) -> list[str]:
    """Return the statements that drop schemas, users and policies which entries created.

    Some of them exist only because Redshift did not refuse a statement that it should refuse.
    """
    known = set(made.names().values())
    drops: list[str] = []
    for drop, column, table in (
        ("drop schema {} cascade", "nspname", "pg_namespace"),
        ("drop user {}", "usename", "pg_user"),
        ("drop masking policy {}", "policy_name", "svv_masking_policy"),
    ):
        start = f"{made.schema}_"
        sql = f"select {column} from {table} where left({column}, {len(start)}) = '{start}'"
        try:
            with made.session() as session:
                outcome = session.run(sql)
        except LostSession as reason:
            outcome = Error(message=str(reason))
        if isinstance(outcome, Error):
            left.append(f"what entries created, because {table} cannot be read: {outcome}")
            continue
        drops += [drop.format(name) for (name,) in outcome if name not in known]
    return drops
