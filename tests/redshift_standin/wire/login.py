"""How a session begins: TLS, cancel requests, and logins, which PostgreSQL itself judges."""

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
# What PostgreSQL takes of redshift_connector's start-up parameters.
KNOWN_PARAMETERS = {b"user", b"database", b"application_name", b"client_encoding"}


@dataclass(frozen=True)
class Login:
    """Who has logged in, and the number of PostgreSQL's process for it."""

    user: str
    process: int


async def read_start(client: Channel, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
    """What the client asks for once it is settled whether it speaks TLS: a code and its data."""
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
    """None if the client was refused, and told so."""
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
    """What client and PostgreSQL have to say to each other; the process, None if it refuses."""
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
