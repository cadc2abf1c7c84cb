"""The PostgreSQL protocol, version 3, as redshift_connector and psycopg2 speak it to Redshift.

A session takes what the client sends up to the next Sync, Query or Terminate, translates it, asks
PostgreSQL itself what it must know first (names, plan), and only then passes it on. So nothing of
the client's is under way while the session talks to PostgreSQL for itself, in the client's own
transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tests.redshift_standin import expressions
from tests.redshift_standin.control import Control, Fault, Query, Scan, error_of
from tests.redshift_standin.expressions import OUTSIDE_QUOTES, Names, Relation, Translated
from tests.redshift_standin.numeric_types import of_postgres
from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.spectrum import Spectrum, relations_in_plan
from tests.redshift_standin.statements import Statement, classify, split_statements

log = logging.getLogger(__name__)

SSL_REQUEST, CANCEL_REQUEST, GSS_REQUEST = 80877103, 80877102, 80877104
PROTOCOL = 196608
# What PostgreSQL takes of redshift_connector's start-up parameters.
KNOWN_PARAMETERS = {b"user", b"database", b"application_name", b"client_encoding"}
# text -> varchar, unknown -> varchar, jsonb -> SUPER, bytea -> VARBYTE: types that Redshift shows.
TYPE_OIDS = {25: 1043, 705: 1043, 3802: 4000, 17: 6551}
LOGS = re.compile(
    r"\b(sys_query_history|sys_external_query_detail|stl_query|svl_qlog|svl_s3query_summary)\b",
    re.I,
)
STATEMENT_FAULTS = {"serializable_conflict", "disk_full", "statement_timeout", "permission_denied"}


class ConnectionLost(Exception):  # noqa: N818 - ends a session, no error of it
    """The client or PostgreSQL has gone."""


def message(kind: bytes, data: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(data) + 4) + data


def error_message(refused: Refused) -> bytes:
    fields = [(b"S", "ERROR"), (b"V", "ERROR"), (b"C", refused.sqlstate), (b"M", refused.message)]
    if refused.detail:
        fields.append((b"D", refused.detail))
    return message(b"E", b"".join(k + v.encode() + b"\0" for k, v in fields) + b"\0")


def fields_of(error: bytes) -> dict[str, str]:
    return {
        part[:1].decode(): part[1:].decode(errors="replace") for part in error.split(b"\0") if part
    }


class Channel:
    """Messages of one direction pair: to read and to write."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self) -> tuple[bytes, bytes]:
        try:
            head = await self.reader.readexactly(5)
            return head[:1], await self.reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            raise ConnectionLost from error

    async def read_start(self) -> tuple[int, bytes]:
        try:
            (length,) = struct.unpack("!i", await self.reader.readexactly(4))
            data = await self.reader.readexactly(length - 4)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            raise ConnectionLost from error
        return struct.unpack("!i", data[:4])[0], data[4:]

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def drain(self) -> None:
        try:
            await self.writer.drain()
        except (ConnectionError, ssl.SSLError) as error:
            raise ConnectionLost from error


@dataclass
class Running:
    """A statement under way."""

    number: int
    source: str
    kind: str
    started: float
    began: datetime
    tag: str | None = None
    sets_query_group: str | None = None
    commits: bool = False
    external_tables: set[int] = field(default_factory=set)
    rows: int = 0
    is_logged: bool = True
    scans: list[Scan] = field(default_factory=list)


@dataclass
class Prepared:
    """A statement of the extended protocol, and the text that PostgreSQL knows it by."""

    source: str
    statement: Statement
    sent: str
    parameter_types: bytes


@dataclass
class HistoryRow:
    running: Running
    ended: str
    error: str | None
    session: int
    user: str
    query_group: str | None
    finished: datetime


class Server:
    """Everything that the sessions share."""

    def __init__(
        self,
        postgres_port: int,
        database: str,
        control: Control,
        spectrum: Spectrum,
        connect: Callable[[], Any],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.postgres_port = postgres_port
        self.database = database
        self.control = control
        self.spectrum = spectrum
        self.connect = connect
        self.tls = tls
        self._number = 0
        self._history: list[tuple[HistoryRow, list[Scan]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def next_number(self) -> int:
        self._number += 1
        return self._number

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
        session = Session(self, Channel(reader, writer))
        try:
            await session.run()
        except (ConnectionLost, ConnectionError, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("a session failed")
        finally:
            session.close()
            if task:
                self._tasks.discard(task)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def record(self, row: HistoryRow, scans: list[Scan]) -> None:
        for scan in scans:
            self.control.log(scan)
        running = row.running
        self._history.append((row, scans))
        self.control.log(
            Query(
                running.number,
                row.user,
                row.query_group,
                running.source,
                row.ended,
                round(time.monotonic() - running.started, 4),
                row.error.partition(" ")[0] if row.error else None,
                row.error.partition(" ")[2] if row.error else None,
            )
        )

    def flush_history(self) -> None:
        """The log views read tables; these are filled when somebody looks."""
        rows, self._history = self._history, []
        if not rows:
            return
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            for row, scans in rows:
                r = row.running
                status = {"success": "success", "canceled": "canceled"}.get(row.ended, "failed")
                user_id = "(select usesysid from pg_user where usename = %s)"
                cursor.execute(
                    (
                        f"insert into standin.query_history values ({user_id}, %s, %s, %s, %s, %s, "
                        f"%s, %s, false, %s, %s, %s, %s, %s, %s)"
                    ),
                    (
                        row.user,
                        r.number,
                        row.query_group or "default",
                        r.number,
                        row.session,
                        self.database,
                        r.kind,
                        status,
                        r.began,
                        row.finished,
                        row.error.partition(" ")[2] if row.error else None,
                        r.rows,
                        r.source,
                        row.user,
                    ),
                )
                for scan in scans:
                    schema, _, table = scan.table.partition(".")
                    cursor.execute(
                        (
                            f"insert into standin.external_scans values ({user_id}, %s, %s, %s, "
                            f"%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
                        ),
                        (
                            row.user,
                            scan.query,
                            scan.query,
                            schema,
                            table,
                            scan.total_partitions,
                            len(scan.partitions),
                            len(scan.files),
                            scan.rows,
                            scan.bytes,
                            scan.format,
                            scan.files[0] if scan.files else None,
                            r.began,
                            row.finished,
                        ),
                    )
        connection.close()


class Session:
    """One client."""

    def __init__(self, server: Server, client: Channel) -> None:
        self.server = server
        self.client = client
        self.backend: Channel | None = None
        self.user = ""
        self.query_group: str | None = None
        self.process = 0
        self.status = b"I"
        self.prepared: dict[bytes, Prepared] = {}

    @property
    def postgres(self) -> Channel:
        assert self.backend is not None
        return self.backend

    def close(self) -> None:
        for channel in (self.client, self.backend):
            if channel:
                channel.writer.close()

    async def run(self) -> None:
        if not await self._start():
            return
        while True:
            batch, last = await self._next_batch()
            if last[0] == b"X":
                self.postgres.write(message(b"X"))
                await self.postgres.drain()
                return
            if last[0] == b"Q":
                await self._simple_query(last[1][:-1].decode())
            else:
                await self._extended_query(batch)

    # Start-up
    # ---------------------------------------------------------------------------------------

    async def _start(self) -> bool:
        while True:
            code, data = await self.client.read_start()
            if code == GSS_REQUEST:
                self.client.write(b"N")
            elif code == SSL_REQUEST:
                self.client.write(b"S" if self.server.tls else b"N")
                await self.client.drain()
                if self.server.tls:
                    await self.client.writer.start_tls(self.server.tls)
            else:
                break
            await self.client.drain()
        self.backend = Channel(
            *await asyncio.open_connection("127.0.0.1", self.server.postgres_port)
        )
        if code == CANCEL_REQUEST:
            self.postgres.write(struct.pack("!ii", len(data) + 8, code) + data)
            await self.postgres.drain()
            await self.postgres.reader.read()
            return False
        words = data.rstrip(b"\0").split(b"\0")
        parameters = dict(zip(words[::2], words[1::2], strict=False))
        self.user = parameters.get(b"user", b"").decode()
        if self.server.control.take({"expired_credentials"}, self.user):
            self._fatal("28000", f'password authentication failed for user "{self.user}"')
            await self.client.drain()
            return False
        kept = (
            b"".join(k + b"\0" + v + b"\0" for k, v in parameters.items() if k in KNOWN_PARAMETERS)
            + b"\0"
        )
        self.postgres.write(struct.pack("!ii", len(kept) + 8, PROTOCOL) + kept)
        return await self._log_in()

    async def _log_in(self) -> bool:
        """Authentication is between the client and PostgreSQL."""
        while True:
            await self.postgres.drain()
            kind, data = await self.postgres.read()
            if kind == b"S" and data.startswith(b"server_version\0"):
                data = b"server_version\x008.0.2\0"
            elif kind == b"K":
                (self.process,) = struct.unpack("!i", data[:4])
            elif kind == b"E":
                self.client.write(message(kind, data))
                await self.client.drain()
                return False
            self.client.write(message(kind, data))
            if kind == b"Z":
                await self.client.drain()
                return True
            if kind == b"R" and data[:4] not in (b"\0\0\0\0", b"\0\0\0\x0c"):
                await self.client.drain()
                answer = await self.client.read()
                self.postgres.write(message(*answer))

    def _fatal(self, sqlstate: str, text: str) -> None:
        fields = ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", sqlstate), (b"M", text))
        self.client.write(
            message(b"E", b"".join(k + v.encode() + b"\0" for k, v in fields) + b"\0")
        )

    async def _next_batch(self) -> tuple[list[tuple[bytes, bytes]], tuple[bytes, bytes]]:
        batch: list[tuple[bytes, bytes]] = []
        while True:
            item = await self.client.read()
            if item[0] in b"SQX":
                return batch, item
            # A Flush only asks for what comes with the Sync anyway: no client of ours waits for it.
            if item[0] != b"H":
                batch.append(item)

    # Queries
    # ----------------------------------------------------------------------------------------

    async def _simple_query(self, text: str) -> None:
        sources = split_statements(text)
        if not sources:
            self.client.write(message(b"I"))
        for source in sources:
            running = self._begin(source)
            try:
                statement = self._classify(running)
                sql = await self._ready(running, statement)
            except Refused as refused:
                await self._refuse(running, refused)
                break
            self.postgres.write(message(b"Q", sql.encode() + b"\0"))
            if not await self._relay(running):
                break
        self.client.write(message(b"Z", self.status))
        await self.client.drain()

    async def _extended_query(self, batch: list[tuple[bytes, bytes]]) -> None:
        """Parse, Bind, Describe, Execute, Close up to a Sync."""
        out: list[bytes] = []
        swallowed: list[bytes] = []
        running: Running | None = None
        executes = sum(kind == b"E" for kind, _ in batch)
        for kind, data in batch:
            if kind == b"P":
                name, _, rest = data.partition(b"\0")
                text, _, types = rest.partition(b"\0")
                running = self._begin(text.decode())
                running.is_logged = False
                try:
                    statement = self._classify(running) if text.strip() else None
                    translated = await self._translated(statement) if statement else Translated("")
                except Refused as refused:
                    running.is_logged = True
                    await self._refuse(running, refused)
                    return await self._end_extended()
                if statement:
                    self.prepared[name] = Prepared(text.decode(), statement, translated.sql, types)
                out.append(message(kind, name + b"\0" + translated.sql.encode() + b"\0" + types))
            elif kind == b"B":
                name, values = self._read_bind(data)
                out.append(message(kind, data))
                if executes and (prepared := self.prepared.get(name)):
                    running = self._begin(prepared.source, prepared.statement)
                    try:
                        sql = await self._ready(running, prepared.statement, values)
                    except Refused as refused:
                        await self._refuse(running, refused)
                        return await self._end_extended()
                    if sql != prepared.sent:
                        # A view or table below has changed since Parse: PostgreSQL is told anew.
                        parse = name + b"\0" + sql.encode() + b"\0" + prepared.parameter_types
                        new = [message(b"C", b"S" + name + b"\0"), message(b"P", parse)]
                        out[-1:-1] = new
                        swallowed += [b"3", b"1"]
                        prepared.sent = sql
            else:
                if kind == b"C" and data[:1] == b"S":
                    self.prepared.pop(data[1:-1], None)
                out.append(message(kind, data))
        self.postgres.write(b"".join(out) + message(b"S"))
        await self._relay(running or self._begin(""), swallowed)
        await self._end_extended()
        return None

    async def _end_extended(self) -> None:
        self.client.write(message(b"Z", self.status))
        await self.client.drain()

    @staticmethod
    def _read_bind(data: bytes) -> tuple[bytes, list[str | None]]:
        """The statement and the parameters as SQL for EXPLAIN, None where that cannot be."""
        _, _, rest = data.partition(b"\0")
        name, _, rest = rest.partition(b"\0")
        (count,) = struct.unpack("!h", rest[:2])
        formats = struct.unpack(f"!{count}h", rest[2 : 2 + 2 * count])
        rest = rest[2 + 2 * count :]
        (number,) = struct.unpack("!h", rest[:2])
        rest, values = rest[2:], list[str | None]()
        for place in range(number):
            (length,) = struct.unpack("!i", rest[:4])
            value, rest = rest[4 : 4 + max(length, 0)], rest[4 + max(length, 0) :]
            is_text = not formats or formats[place if len(formats) > 1 else 0] == 0
            if length < 0:
                values.append("null")
            elif is_text:
                values.append("'" + value.decode().replace("'", "''") + "'")
            else:
                values.append(None)
        return name, values

    def _begin(self, source: str, statement: Statement | None = None) -> Running:
        number = self.server.next_number()
        running = Running(
            number, source, "OTHER", time.monotonic(), datetime.now(UTC).replace(tzinfo=None)
        )
        if statement:
            self._describe(running, statement)
        return running

    def _classify(self, running: Running) -> Statement:
        try:
            statement = classify(running.source)
        except Refused:
            raise
        except Exception as error:
            log.exception("no translation of %s", running.source)
            raise Refused("XX000", f"redshift stand-in: {type(error).__name__}: {error}") from error
        self._describe(running, statement)
        return statement

    @staticmethod
    def _describe(running: Running, statement: Statement) -> None:
        running.kind, running.tag = statement.kind, statement.tag
        running.sets_query_group = statement.sets_query_group
        running.commits = statement.commits

    async def _ready(
        self, running: Running, statement: Statement, values: list[str | None] | None = None
    ) -> str:
        """All that has to happen before the statement runs; the text to run."""
        fault = self.server.control.take(
            STATEMENT_FAULTS | {"drop_connection"}, running.source, self.query_group
        )
        if fault:
            await self._strike(fault, running)
        if LOGS.search(running.source):
            await self._in_thread(self.server.flush_history)
        if self.status == b"E":
            # PostgreSQL says what it says to every statement now.
            return (await self._translated(statement)).sql if statement.body is None else "select 1"
        if statement.refused_in_transaction and self.status != b"I":
            raise Refused("25001", statement.refused_in_transaction)
        external = statement.external
        if statement.target and await self._in_thread(
            self.server.spectrum.is_external, statement.target
        ):
            external = statement.external_target
            running.tag = statement.tag or (
                "DROP SCHEMA" if statement.target.startswith("schema:") else "DROP TABLE"
            )
            statement = replace(statement, wrap=lambda _: "do $standin$ begin end $standin$")
        if external:
            if external.refused_in_transaction and self.status != b"I":
                raise Refused("25001", external.refused_in_transaction)
            await self._in_thread(self.server.spectrum.run, external, self.user)
        translated = await self._translated(statement)
        # A view only says what is to be read, and so does EXPLAIN.
        reads = statement.tag != "CREATE VIEW" and not translated.sql.startswith("explain ")
        if translated.external_tables and reads:
            await self._scan(running, translated, values or [])
        return translated.sql

    async def _strike(self, fault: Fault, running: Running) -> None:
        if fault.fault == "drop_connection":
            self._finish(running, "dropped", "08006 connection dropped")
            self.client.writer.transport.abort()
            raise ConnectionLost
        raise error_of(fault, running.source)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    async def _translated(self, statement: Statement) -> Translated:
        """PostgreSQL's text; raises Refused, also where the stand-in itself fails."""
        try:
            return await self._translate(statement)
        except (Refused, ConnectionLost):
            raise
        except Exception as error:
            log.exception("no translation of %s", statement)
            raise Refused("XX000", f"redshift stand-in: {type(error).__name__}: {error}") from error

    async def _translate(self, statement: Statement) -> Translated:
        if statement.body is None:
            return Translated(statement.wrap(""))
        names = await self._resolve(statement.body)
        translated = expressions.translate(statement.body, names)
        if translated.external_tables and translated.sql and statement.tag == "CREATE VIEW":
            is_late = "create_late_binding_view" in statement.wrap("")
            if not is_late:
                raise Refused("0A000", "External tables are not supported in views")
        return Translated(
            statement.wrap(translated.sql), translated.external_tables, translated.sql
        )

    async def _resolve(self, parsed: expressions.Parsed) -> Names:
        """What is behind the names of a statement, and behind those of the views in it."""
        found = Names()
        asked: set[tuple[str, str]] = set()
        # With whose rights a relation is read: a view's owner's, or (an empty name) one's own.
        names = {("", expressions.name_of(table)) for table in expressions.tables_in(parsed.tree)}
        while left := names - asked:
            reader = min(left)[0]
            listed = sorted(name for by, name in left if by == reader)
            asked |= {(reader, name) for name in listed}
            texts = ",".join("'" + name.replace("'", "''") + "'" for name in listed)
            role = "'" + reader.replace("'", "''") + "'"
            rows = await self._ask(
                "select name, kind, body, is_allowed, relation, owner from "
                f"standin.resolve(array[{texts}], {role})"
            )
            for name, kind, body, is_allowed, relation, owner in rows:
                if kind == "columns":
                    columns: dict[str, str] = json.loads(str(body))
                    types = {c: of_postgres(t) for c, t in columns.items()}
                    found.columns[str(name)] = set(columns)
                    found.numbers[str(name)] = {c: n for c, n in types.items() if n}
                    continue
                found.relations[reader, str(name)] = Relation(
                    str(kind), str(body), is_allowed == "t", str(relation), str(owner or "")
                )
                if kind == "view":
                    names |= {
                        (str(owner), expressions.name_of(table))
                        for table in expressions.tables_in(expressions.parse(str(body)).tree)
                    }
        return found

    async def _scan(
        self, running: Running, translated: Translated, values: list[str | None]
    ) -> None:
        """Asks the planner which partitions are left, and has those brought up to date."""

        def given(match: re.Match[str]) -> str:
            if not match[1]:
                return match[0]
            value = values[int(match[1]) - 1] if int(match[1]) <= len(values) else None
            # What is not known prunes nothing.
            return value if value is not None else "(select null)"

        sql = re.sub(rf"{OUTSIDE_QUOTES}|\$(\d+)", given, translated.query, flags=re.DOTALL)
        rows = await self._ask(f"explain (format json) {sql}")
        scanned = relations_in_plan(json.loads("\n".join(str(row[0]) for row in rows)))
        vanishes = (
            self.server.control.take({"file_vanishes"}, running.source, self.query_group)
            is not None
        )
        scans = await self._in_thread(
            self.server.spectrum.scan, translated.external_tables, scanned, vanishes
        )
        running.scans = [
            Scan(
                running.number,
                self.query_group,
                scan.table,
                scan.partitions,
                scan.files,
                scan.bytes,
                scan.rows,
                scan.total_partitions,
                scan.format,
            )
            for scan in scans
        ]

    async def _ask(self, sql: str) -> list[list[str | None]]:
        """A query of the session's, in the client's transaction; its error is the statement's."""
        self.postgres.write(message(b"Q", sql.encode() + b"\0"))
        await self.postgres.drain()
        rows: list[list[str | None]] = []
        refused: Refused | None = None
        while True:
            kind, data = await self.postgres.read()
            if kind == b"D":
                rows.append(self._read_row(data))
            elif kind == b"E":
                refused = self._as_refused(data)
            elif kind == b"Z":
                self.status = data
                if refused:
                    raise refused
                return rows

    @staticmethod
    def _read_row(data: bytes) -> list[str | None]:
        (count,), place = struct.unpack("!h", data[:2]), 2
        row: list[str | None] = []
        for _ in range(count):
            (length,) = struct.unpack("!i", data[place : place + 4])
            place += 4
            row.append(None if length < 0 else data[place : place + length].decode())
            place += max(length, 0)
        return row

    @staticmethod
    def _as_refused(data: bytes) -> Refused:
        found = fields_of(data)
        return Refused(found.get("C", "XX000"), found.get("M", ""), found.get("D"))

    async def _refuse(self, running: Running, refused: Refused) -> None:
        if self.status == b"T":
            # The client's transaction has failed, as PostgreSQL must know.
            with_status = "do $standin$ begin raise exception 'refused'; end $standin$"
            with contextlib.suppress(Refused):
                await self._ask(with_status)
        ended = "canceled" if refused.sqlstate == "57014" else "refused"
        refused = self._reworded(refused, running)
        self._finish(running, ended, f"{refused.sqlstate} {refused.message}")
        self.client.write(error_message(refused))

    @staticmethod
    def _reworded(refused: Refused, running: Running) -> Refused:
        """PostgreSQL's messages where Redshift has others."""
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

    async def _relay(  # noqa: C901 - one rule for each message
        self, running: Running, swallowed: list[bytes] | None = None
    ) -> bool:
        """PostgreSQL's answer up to ReadyForQuery, which is kept back; whether it went well."""
        await self.postgres.drain()
        swallowed = list(swallowed or [])
        error: str | None = None
        ended = "success"
        while True:
            kind, data = await self.postgres.read()
            if kind == b"Z":
                self.status = data
                if running.commits and not error and data == b"T":
                    await self._ask("commit")
                break
            if swallowed and kind == swallowed[0]:
                swallowed.pop(0)
                continue
            if kind == b"E":
                refused = self._reworded(self._as_refused(data), running)
                ended = "canceled" if refused.sqlstate == "57014" else "failed"
                error = f"{refused.sqlstate} {refused.message}"
                self.client.write(error_message(refused))
                continue
            if kind == b"N" and fields_of(data).get("S") in ("NOTICE", "WARNING", "INFO"):
                continue
            if kind == b"C":
                data = self._tag_of(running, data)
            elif kind == b"T":
                data = redshift_types(data)
            elif kind == b"D":
                running.rows += 1
            self.client.write(message(kind, data))
            if running.rows % 256 == 255:
                await self.client.drain()
        if ended == "success" and running.is_logged and running.sets_query_group is not None:
            self.query_group = running.sets_query_group or None
        if (running.is_logged and running.source) or error:
            self._finish(running, ended, error)
        return error is None

    @staticmethod
    def _tag_of(running: Running, data: bytes) -> bytes:
        tag = data[:-1].decode()
        if running.tag:
            return running.tag.encode() + b"\0"
        if running.kind == "CTAS" and tag.startswith("SELECT"):
            return b"SELECT\0"
        return data

    def _finish(self, running: Running, ended: str, error: str | None) -> None:
        self.server.record(
            HistoryRow(
                running,
                ended,
                error,
                self.process,
                self.user,
                self.query_group,
                datetime.now(UTC).replace(tzinfo=None),
            ),
            running.scans,
        )


def redshift_types(description: bytes) -> bytes:
    """A RowDescription whose types are Redshift's."""
    (count,) = struct.unpack("!h", description[:2])
    place, out = 2, bytearray(description)
    for _ in range(count):
        place = description.index(b"\0", place) + 7
        (oid,) = struct.unpack("!i", description[place : place + 4])
        out[place : place + 4] = struct.pack("!i", TYPE_OIDS.get(oid, oid))
        place += 12
    return bytes(out)
