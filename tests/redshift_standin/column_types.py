"""Translates the column types of Redshift to those of PostgreSQL."""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.sql_text import FLAGS

TYPES = re.compile(
    r"(?:smallint|int2|integer|int4|int|bigint|int8|decimal|numeric|real|float4|"
    r"double\s+precision|float8|float|"
    r"boolean|bool|character\s+varying|char|character|nchar|bpchar|varchar|nvarchar|"
    r"text|date|timestamp|timestamptz|"
    r"timetz|time|geometry|geography|hllsketch|super|varbyte|varbinary|binary\s+varying|"
    r"interval)\b",
    re.IGNORECASE,
)
AFTER_TYPE = re.compile(
    r"\s*(\(\s*(max|\d+(\s*,\s*\d+)?)\s*\))?(\s+with(out)?\s+time\s+zone)?"
    r"(\s+(not\s+null|null|default\s+.+|collate\s+\w+|generated\s+(?:by\s+default|always)\s+.+))*\s*$",
    FLAGS,
)


SIZED = (
    ("decimal", r"decimal|numeric"),
    ("bpchar", r"n?char|character|bpchar"),
    ("varchar", r"n?varchar|character\s+varying"),
)
LONGEST = {"bpchar": 4096, "varchar": 65535}
"""The largest length of each text type, in bytes."""
RESPELLED = (
    (r"^nvarchar\b", "varchar"),
    (r"^nchar\b", "char"),
    (r"^bpchar\b(?!\s*\()", "char(256)"),
    (r"^(varchar|character\s+varying)\s*\(\s*max\s*\)", "varchar(65535)"),
    (r"^(decimal|numeric)\b(?!\s*\()", "numeric(18,0)"),
    (r"^(varbyte|varbinary|binary\s+varying)\b(\s*\([^)]*\))?", "varbyte"),
    # Redshift gives a varchar without a length 256 bytes.
    (r"^(varchar|character\s+varying|text)\b(?!\s*\()", "varchar(256)"),
)


def column_type(text: str) -> str:
    """Return PostgreSQL's name of a column type, with the text that follows the name.

    Raises Refused for a type that Redshift does not have.
    """
    named = TYPES.match(text)
    if not named or not AFTER_TYPE.match(text, named.end()):
        name = re.match(r"\S+", text)
        raise Refused("42704", f'type "{name[0] if name else ""}" does not exist')
    for kind, names in SIZED:
        sized = re.match(rf"(?:{names})\s*\(\s*(\d+)(?:\s*,\s*(\d+))?", text, FLAGS)
        if sized:
            refuse_size(kind, int(sized[1]), int(sized[2] or 0))
    for written, meant in RESPELLED:
        text = re.sub(written, meant, text, flags=FLAGS)
    return text


def refuse_size(kind: str, size: int, scale: int = 0) -> None:
    """Raise Refused for a precision and scale, or a length, that Redshift does not have."""
    if kind != "decimal":
        if not 1 <= size <= LONGEST[kind]:
            raise Refused("42611", f"length for type {kind} cannot exceed {LONGEST[kind]}")
        return
    if not 1 <= size <= 38:
        raise Refused("42611", f"DECIMAL precision {size} must be between 1 and 38")
    if scale > size:
        raise Refused("42611", f"DECIMAL scale {scale} must be between 0 and precision {size}")
