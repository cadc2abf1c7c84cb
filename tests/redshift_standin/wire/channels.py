"""The connections of a session: one to the client and one to PostgreSQL."""

from __future__ import annotations

import asyncio
import ssl
import struct

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.wire.messages import as_refused, message, read_row


class ConnectionLost(Exception):  # noqa: N818 - it ends a session and is not a failure of it
    """The client or PostgreSQL has closed the connection."""


class Channel:
    """Reads and writes the messages of one connection; raises ConnectionLost when it is closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self) -> tuple[bytes, bytes]:
        """Return the kind of the next message, and its data."""
        try:
            head = await self.reader.readexactly(5)
            return head[:1], await self.reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            raise ConnectionLost from error

    async def read_start(self) -> tuple[int, bytes]:
        """Return the code and the data of a start-up packet, which has no kind."""
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
    """The connection to PostgreSQL.

    `status` is its last transaction status: idle (I), in a transaction (T) or failed (E).
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.status = b"I"

    @classmethod
    async def connect(cls, port: int) -> Postgres:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def query(self, sql: str) -> list[list[str | None]]:
        """Run a query of the session itself, in the client's transaction, and return its rows.

        Raises Refused, and the client gets that error for its statement.
        """
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
