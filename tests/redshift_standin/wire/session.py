"""A session: it translates a client's messages for PostgreSQL and passes the answers back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.redshift_standin.control import Control, Fault, Scan, error_of
from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.spectrum import Spectrum, relations_in_plan
from tests.redshift_standin.sql_text import split_statements
from tests.redshift_standin.statements import NOTHING, Statement, classify
from tests.redshift_standin.translation import Translated
from tests.redshift_standin.wire.channels import Channel, ConnectionLost, Postgres
from tests.redshift_standin.wire.history import Ended, History, Running
from tests.redshift_standin.wire.login import Login
from tests.redshift_standin.wire.messages import (
    as_refused,
    error_message,
    fields_of,
    message,
    read_bind,
    read_parse,
    redshift_types,
)
from tests.redshift_standin.wire.translating import translated, with_parameters

log = logging.getLogger(__name__)

LOGS = re.compile(
    r"\b(sys_query_history|sys_external_query_detail|stl_query|svl_qlog|svl_s3query_summary)\b",
    re.I,
)
STATEMENT_FAULTS = {
    "serializable_conflict",
    "disk_full",
    "statement_timeout",
    "permission_denied",
    "drop_connection",
}


@dataclass(frozen=True)
class Shared:
    """The objects that all sessions share."""

    control: Control
    spectrum: Spectrum
    history: History


@dataclass
class Prepared:
    """A prepared statement of the extended protocol.

    `sent` is the translated text with which PostgreSQL parsed the statement last.
    """

    source: str
    statement: Statement
    sent: str
    parameter_types: bytes


@contextlib.contextmanager
def internal_errors_refused(what: object) -> Iterator[None]:
    """Turn an unexpected error of the stand-in into a Refused that names the stand-in."""
    try:
        yield
    except (Refused, ConnectionLost):
        raise
    except Exception as error:
        log.exception("the translation failed: %s", what)
        raise Refused(
            "XX000", f"The Redshift stand-in failed: {type(error).__name__}: {error}"
        ) from error


class Session:
    """One client that has logged in."""

    def __init__(self, shared: Shared, client: Channel, postgres: Postgres, login: Login) -> None:
        self._shared = shared
        self._client = client
        self._postgres = postgres
        self._login = login
        self._query_group: str | None = None
        self._prepared: dict[bytes, Prepared] = {}

    async def run(self) -> None:
        """Handle messages until the client sends Terminate or closes the connection."""
        while True:
            batch, (kind, data) = await self._next_batch()
            if kind == b"X":
                self._postgres.write(message(b"X"))
                await self._postgres.drain()
                return
            if kind == b"Q":
                await self._simple_query(data[:-1].decode())
            else:
                await self._extended_query(batch)
            self._client.write(message(b"Z", self._postgres.status))
            await self._client.drain()

    async def _next_batch(self) -> tuple[list[tuple[bytes, bytes]], tuple[bytes, bytes]]:
        batch: list[tuple[bytes, bytes]] = []
        while True:
            item = await self._client.read()
            if item[0] in b"SQX":
                return batch, item
            # A Flush is ignored. The Sync after it requests the same answers, and neither driver
            # waits for the answer to a Flush.
            if item[0] != b"H":
                batch.append(item)

    async def _simple_query(self, text: str) -> None:
        sources = split_statements(text)
        if not sources:
            self._client.write(message(b"I"))
        for source in sources:
            running = self._shared.history.begin(source)
            try:
                sql = await self._text_to_run(running, self._classify(running))
            except Refused as refused:
                await self._refuse(running, refused)
                break
            self._postgres.write(message(b"Q", sql.encode() + b"\0"))
            if not await self._relay(running):
                break

    async def _extended_query(self, batch: list[tuple[bytes, bytes]]) -> None:
        """Handle the messages Parse, Bind, Describe, Execute and Close up to a Sync."""
        begin = self._shared.history.begin
        out: list[bytes] = []
        skipped: list[bytes] = []
        running: Running | None = None
        executes = any(kind == b"E" for kind, _ in batch)
        try:
            for kind, data in batch:
                if kind == b"P":
                    name, text, types = read_parse(data)
                    running = begin(text)
                    running.is_logged = False
                    out.append(await self._parse(running, name, types))
                    continue
                if kind == b"B" and executes:
                    name, values = read_bind(data)
                    if prepared := self._prepared.get(name):
                        running = begin(prepared.source)
                        if parse := await self._parse_again(running, name, prepared, values):
                            out += parse
                            skipped += [b"3", b"1"]
                elif kind == b"C" and data[:1] == b"S":
                    self._prepared.pop(data[1:-1], None)
                out.append(message(kind, data))
        except Refused as refused:
            await self._refuse(running or begin(""), refused)
            return
        self._postgres.write(b"".join(out) + message(b"S"))
        await self._relay(running or begin(""), skipped)

    async def _parse(self, running: Running, name: bytes, types: bytes) -> bytes:
        sql = ""
        if running.source.strip():
            statement = self._classify(running)
            sql = (await self._translated(statement)).sql
            self._prepared[name] = Prepared(running.source, statement, sql, types)
        return message(b"P", name + b"\0" + sql.encode() + b"\0" + types)

    async def _parse_again(
        self, running: Running, name: bytes, prepared: Prepared, values: list[str | None]
    ) -> list[bytes]:
        """Return Close and Parse if the translation has changed since the statement was parsed.

        It changes when a view or table that the statement reads changes.
        """
        self._describe(running, prepared.statement)
        sql = await self._text_to_run(running, prepared.statement, values)
        if sql == prepared.sent:
            return []
        prepared.sent = sql
        parse = name + b"\0" + sql.encode() + b"\0" + prepared.parameter_types
        return [message(b"C", b"S" + name + b"\0"), message(b"P", parse)]

    def _classify(self, running: Running) -> Statement:
        with internal_errors_refused(running.source):
            statement = classify(running.source)
        self._describe(running, statement)
        return statement

    @staticmethod
    def _describe(running: Running, statement: Statement) -> None:
        running.kind, running.tag = statement.kind, statement.tag
        running.sets_query_group = statement.sets_query_group
        running.commits = statement.commits

    async def _text_to_run(
        self, running: Running, statement: Statement, values: Sequence[str | None] = ()
    ) -> str:
        """Prepare all that the statement needs, and return the text that PostgreSQL runs.

        This applies faults, refuses what Redshift refuses in a transaction, runs external DDL, and
        loads the files of external tables. Raises Refused or ConnectionLost.
        """
        shared, status = self._shared, self._postgres.status
        fault = shared.control.take(STATEMENT_FAULTS, running.source, self._query_group)
        if fault:
            self._apply_fault(fault, running)
        if LOGS.search(running.source):
            await self._in_thread(shared.history.flush)
        if status == b"E":
            # In a failed transaction, PostgreSQL answers every statement with the same error. A
            # statement with a body cannot be translated now, so `select 1` takes its place.
            return (await self._translated(statement)).sql if statement.body is None else "select 1"
        if statement.refused_in_transaction and status != b"I":
            raise Refused("25001", statement.refused_in_transaction)
        external = statement.external
        if statement.target and await self._in_thread(
            shared.spectrum.is_external, statement.target
        ):
            external = statement.external_target
            running.tag = statement.tag or (
                "DROP SCHEMA" if statement.target.startswith("schema:") else "DROP TABLE"
            )
            statement = replace(statement, wrap=lambda _: NOTHING)
        if external:
            if external.refused_in_transaction and status != b"I":
                raise Refused("25001", external.refused_in_transaction)
            await self._in_thread(shared.spectrum.run, external, self._login.user)
        found = await self._translated(statement)
        # CREATE VIEW and EXPLAIN read no rows, so no files are loaded for them.
        reads = statement.tag != "CREATE VIEW" and not found.sql.startswith("explain ")
        if found.external_tables and reads:
            await self._scan(running, found, values)
        return found.sql

    def _apply_fault(self, fault: Fault, running: Running) -> None:
        if fault.fault == "drop_connection":
            self._finish(running, "dropped", Refused("08006", "connection dropped"))
            self._client.writer.transport.abort()
            raise ConnectionLost
        raise error_of(fault, running.source)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    async def _translated(self, statement: Statement) -> Translated:
        with internal_errors_refused(statement):
            return await translated(statement, self._postgres.query)

    async def _scan(
        self, running: Running, found: Translated, values: Sequence[str | None]
    ) -> None:
        """Load the new files of the partitions that remain in PostgreSQL's plan of the query."""
        sql = with_parameters(found.query, values)
        rows = await self._postgres.query(f"explain (format json) {sql}")
        scanned = relations_in_plan(json.loads("\n".join(str(row[0]) for row in rows)))
        fault = self._shared.control.take({"file_vanishes"}, running.source, self._query_group)
        scans = await self._in_thread(
            self._shared.spectrum.scan, found.external_tables, scanned, fault is not None
        )
        running.scans = [Scan(running.number, self._query_group, **vars(scan)) for scan in scans]

    async def _refuse(self, running: Running, refused: Refused) -> None:
        if self._postgres.status == b"T":
            # An error of PostgreSQL itself makes it mark the client's transaction as failed.
            with contextlib.suppress(Refused):
                await self._postgres.query(
                    "do $standin$ begin raise exception 'refused'; end $standin$"
                )
        refused = self._reworded(refused, running)
        self._finish(running, "refused", refused)
        self._client.write(error_message(refused))

    @staticmethod
    def _reworded(refused: Refused, running: Running) -> Refused:
        """Replace PostgreSQL's messages by Redshift's where the two differ."""
        text = refused.message
        if refused.sqlstate == "57014":
            text = f"Query ({running.number}) cancelled on user's request"
        text = re.sub(
            r"^permission denied for (table|view|materialized view) ",
            "permission denied for relation ",
            text,
        )
        return Refused(
            refused.sqlstate,
            text.replace(" is of type text", " is of type character varying"),
            refused.detail,
        )

    async def _relay(self, running: Running, skipped: Sequence[bytes] = ()) -> bool:
        """Pass PostgreSQL's answer to the client; return whether the answer has no error.

        The final ReadyForQuery is not passed on, because run() sends it. The first messages of the
        kinds in `skipped` are not passed on either: they answer messages that the session added.
        """
        await self._postgres.drain()
        left = list(skipped)
        error: Refused | None = None
        while True:
            kind, data = await self._postgres.read()
            if kind == b"Z":
                break
            if left and kind == left[0]:
                left.pop(0)
            elif kind == b"E":
                error = self._reworded(as_refused(data), running)
                self._client.write(error_message(error))
            elif kind != b"N" or fields_of(data).get("S") not in ("NOTICE", "WARNING", "INFO"):
                self._client.write(message(kind, self._redshift_data(running, kind, data)))
                if running.rows % 256 == 255:
                    await self._client.drain()
        self._postgres.status = data
        if running.commits and not error and data == b"T":
            await self._postgres.query("commit")
        if not error and running.is_logged and running.sets_query_group is not None:
            self._query_group = running.sets_query_group or None
        if (running.is_logged and running.source) or error:
            self._finish(running, "failed" if error else "success", error)
        return error is None

    @staticmethod
    def _redshift_data(running: Running, kind: bytes, data: bytes) -> bytes:
        """Return the data of a message with Redshift's types and command tag, and count rows."""
        if kind == b"T":
            return redshift_types(data)
        if kind == b"D":
            running.rows += 1
        if kind == b"C" and running.tag:
            return running.tag.encode() + b"\0"
        if kind == b"C" and running.kind == "CTAS" and data.startswith(b"SELECT"):
            return b"SELECT\0"
        return data

    def _finish(self, running: Running, how: str, error: Refused | None) -> None:
        if error and error.sqlstate == "57014":
            how = "canceled"
        self._shared.history.record(
            Ended(running, how, error, self._login.process, self._login.user, self._query_group)
        )
