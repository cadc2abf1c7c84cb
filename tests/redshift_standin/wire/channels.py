"""The two sides of a session: the client, and PostgreSQL, which the session may ask for itself."""

from __future__ import annotations

import asyncio
import ssl
import struct

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.wire.messages import as_refused, message, read_row


class ConnectionLost(Exception):  # noqa: N818 - ends a session, no error of it
    """The client or PostgreSQL has gone."""


class Channel:
    """Messages to and from one side; raises ConnectionLost when it has gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self) -> tuple[bytes, bytes]:
        """The kind of a message, and its data."""
        try:
            head = await self.reader.readexactly(5)
            return head[:1], await self.reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            raise ConnectionLost from error

    async def read_start(self) -> tuple[int, bytes]:
        """A start-up packet, which has a code in the place of a kind."""
        try:
            (length,) = struct.unpack("!i", await self.reader.readexactly(4))
            data = await self.reader.readexactly(length - 4)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            raise ConnectionLost from error
        return struct.unpack("!i", data[:4])[0], data[4:]

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.close()

    async def drain(self) -> None:
        try:
            await self.writer.drain()
        except (ConnectionError, ssl.SSLError) as error:
            raise ConnectionLost from error


class Postgres(Channel):
    """PostgreSQL. `status` is what it said last: idle (I), in a transaction (T) or failed (E)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.status = b"I"

    @classmethod
    async def connect(cls, port: int) -> Postgres:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, sql: str) -> list[list[str | None]]:
        """A query of the session's, in the client's transaction; its error is the statement's."""
        self.write(message(b"Q", sql.encode() + b"\0"))
        await self.drain()
        rows: list[list[str | None]] = []
        refused: Refused | None = None
        while True:
            kind, data = await self.read()
            if kind == b"D":
                rows.append(read_row(data))
            elif kind == b"E":
                refused = as_refused(data)
            elif kind == b"Z":
                self.status = data
                if refused:
                    raise refused
                return rows
