"""The start of a session: TLS, cancel requests, and logins, which PostgreSQL checks itself."""

from __future__ import annotations

import ssl
import struct
from dataclasses import dataclass

from tests.redshift_standin.control import Control
from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.wire.channels import Channel, Postgres
from tests.redshift_standin.wire.messages import error_message, message

SSL_REQUEST, CANCEL_REQUEST, GSS_REQUEST = 80877103, 80877102, 80877104
PROTOCOL = 196608
# The start-up parameters of redshift_connector that PostgreSQL accepts.
KNOWN_PARAMETERS = {b"user", b"database", b"application_name", b"client_encoding"}


@dataclass(frozen=True)
class Login:
    """The user who has logged in, and the number of PostgreSQL's process for the session."""

    user: str
    process: int


async def read_start(client: Channel, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
    """Start TLS if the client requests it, and return the code and data of its start-up packet."""
    while True:
        code, data = await client.read_start()
        if code == GSS_REQUEST:
            client.write(b"N")
        elif code == SSL_REQUEST:
            client.write(b"S" if tls else b"N")
            await client.drain()
            if tls:
                await client.writer.start_tls(tls)
        else:
            return code, data
        await client.drain()


async def pass_on_cancel(postgres: Postgres, data: bytes) -> None:
    postgres.write(struct.pack("!ii", len(data) + 8, CANCEL_REQUEST) + data)
    await postgres.drain()
    await postgres.reader.read()


async def log_in(
    client: Channel, postgres: Postgres, control: Control, data: bytes
) -> Login | None:
    """Log the client in to PostgreSQL.

    Returns None if the login failed. The client has been sent the error.
    """
    words = data.rstrip(b"\0").split(b"\0")
    parameters = dict(zip(words[::2], words[1::2], strict=False))
    user = parameters.get(b"user", b"").decode()
    if control.take({"expired_credentials"}, user):
        refused = Refused("28000", f'password authentication failed for user "{user}"')
        client.write(error_message(refused, "FATAL"))
        await client.drain()
        return None
    kept = [k + b"\0" + v + b"\0" for k, v in parameters.items() if k in KNOWN_PARAMETERS]
    start = b"".join(kept) + b"\0"
    postgres.write(struct.pack("!ii", len(start) + 8, PROTOCOL) + start)
    process = await _authenticate(client, postgres)
    return None if process is None else Login(user, process)


async def _authenticate(client: Channel, postgres: Postgres) -> int | None:
    """Pass the login's messages between client and PostgreSQL, and return PostgreSQL's process.

    Returns None if PostgreSQL refuses the login.
    """
    process = 0
    while True:
        await postgres.drain()
        kind, data = await postgres.read()
        if kind == b"S" and data.startswith(b"server_version\0"):
            data = b"server_version\x008.0.2\0"
        elif kind == b"K":
            (process,) = struct.unpack("!i", data[:4])
        client.write(message(kind, data))
        if kind in b"EZ":
            await client.drain()
            return process if kind == b"Z" else None
        if kind == b"R" and data[:4] not in (b"\0\0\0\0", b"\0\0\0\x0c"):
            await client.drain()
            answer = await client.read()
            postgres.write(message(*answer))
