"""Encodes and decodes the messages of PostgreSQL's protocol, and puts Redshift's types in them."""

from __future__ import annotations

import struct

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.sql_text import literal

# The types that Redshift sends instead of PostgreSQL's: text -> varchar, unknown -> varchar,
# jsonb -> SUPER, bytea -> VARBYTE.
TYPE_OIDS = {25: 1043, 705: 1043, 3802: 4000, 17: 6551}


def message(kind: bytes, data: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(data) + 4) + data


def error_message(refused: Refused, severity: str = "ERROR") -> bytes:
    fields = [(b"S", severity), (b"V", severity), (b"C", refused.sqlstate), (b"M", refused.message)]
    if refused.detail:
        fields.append((b"D", refused.detail))
    return message(b"E", b"".join(k + v.encode() + b"\0" for k, v in fields) + b"\0")


def fields_of(error: bytes) -> dict[str, str]:
    """Return the fields of an error or a notice, by their letter."""
    return {
        part[:1].decode(): part[1:].decode(errors="replace") for part in error.split(b"\0") if part
    }


def as_refused(data: bytes) -> Refused:
    """Return an error of PostgreSQL as the error for the client."""
    found = fields_of(data)
    return Refused(found.get("C", "XX000"), found.get("M", ""), found.get("D"))


def read_parse(data: bytes) -> tuple[bytes, str, bytes]:
    """Return the name of a Parse message's statement, its text, and the types of its parameters."""
    name, _, rest = data.partition(b"\0")
    text, _, types = rest.partition(b"\0")
    return name, text.decode(), types


def read_bind(data: bytes) -> tuple[bytes, list[str | None]]:
    """Return the statement's name and the parameters of a Bind message.

    A parameter is written as SQL for EXPLAIN. It is None if it has a binary format.
    """
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
            values.append(literal(value.decode()))
        else:
            values.append(None)
    return name, values


def read_row(data: bytes) -> list[str | None]:
    """Return the values of a row as text."""
    (count,), place = struct.unpack("!h", data[:2]), 2
    row: list[str | None] = []
    for _ in range(count):
        (length,) = struct.unpack("!i", data[place : place + 4])
        place += 4
        row.append(None if length < 0 else data[place : place + length].decode())
        place += max(length, 0)
    return row


def redshift_types(description: bytes) -> bytes:
    """Return a RowDescription with the types that Redshift sends."""
    (count,) = struct.unpack("!h", description[:2])
    place, out = 2, bytearray(description)
    for _ in range(count):
        place = description.index(b"\0", place) + 7
        (oid,) = struct.unpack("!i", description[place : place + 4])
        out[place : place + 4] = struct.pack("!i", TYPE_OIDS.get(oid, oid))
        place += 12
    return bytes(out)
