"""Parses the clauses of external DDL: columns, formats, properties, partitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.redshift_standin.column_types import column_type
from tests.redshift_standin.refusals import Refused, syntax_error, unsupported_here
from tests.redshift_standin.spectrum.tables import Column, ExternalTable, FileFormat
from tests.redshift_standin.sql_text import FLAGS, PART, closing_parenthesis, parts_of, split_list

FORMATS = {
    "parquet": FileFormat.PARQUET,
    "org.apache.hadoop.hive.serde2.opencsvserde": FileFormat.CSV,
    "org.openx.data.jsonserde.jsonserde": FileFormat.JSON,
}


@dataclass(frozen=True)
class Definition:
    columns: list[Column]
    partition_columns: list[Column]
    location: str
    format: FileFormat
    serde_properties: dict[str, str]
    properties: dict[str, str]


def parse_column(text: str) -> Column:
    named = re.match(rf"({PART})\s+(.+)$", text.strip(), FLAGS)
    if not named:
        raise syntax_error(text)
    return Column(parts_of(named[1])[0], " ".join(named[2].split()).lower())


def parse_definition(text: str) -> Definition:
    end = closing_parenthesis(text, 0)
    columns = [parse_column(item) for item in split_list(text[1:end])]
    rest = text[end + 1 :]
    partition_columns: list[Column] = []
    partitioned = re.search(r"\bpartitioned\s+by\s*(?=\()", rest, FLAGS)
    if partitioned:
        closing = closing_parenthesis(rest, partitioned.end())
        partition_columns = [
            parse_column(item) for item in split_list(rest[partitioned.end() + 1 : closing])
        ]
        rest = rest[: partitioned.start()] + rest[closing + 1 :]
    names = [c.name for c in [*columns, *partition_columns]]
    if len(set(names)) < len(names):
        raise Refused("42701", "column name specified more than once")
    for column in [*columns, *partition_columns]:
        column_type(column.type)
    location = re.search(r"\blocation\s+'(s3://[^']+)'", rest, FLAGS)
    if not location:
        raise syntax_error("end of input")
    serde = re.search(r"\brow\s+format\s+serde\s+'([^']+)'", rest, FLAGS)
    stored = re.search(r"\bstored\s+as\s+(\w+)", rest, FLAGS)
    named = (serde[1] if serde else stored[1] if stored else "textfile").lower()
    if named not in FORMATS:
        raise unsupported_here(f"external tables stored as {named}")
    serde_properties = re.search(r"\bserdeproperties\s*(?=\()", rest, FLAGS)
    properties = re.search(r"\btable\s+properties\s*(?=\()", rest, FLAGS)
    return Definition(
        columns,
        partition_columns,
        location[1],
        FORMATS[named],
        pairs_of(rest[serde_properties.end() :]) if serde_properties else {},
        pairs_of(rest[properties.end() :]) if properties else {},
    )


def pairs_of(text: str) -> dict[str, str]:
    """Return the pairs in the first parentheses of the text, written `('name'='value', ...)`."""
    opening = text.index("(")
    inner = text[opening + 1 : closing_parenthesis(text, opening)]
    found = {}
    for item in split_list(inner):
        pair = re.match(r"'([^']+)'\s*=\s*'((?:[^'\\]|\\.|'')*)'$", item, FLAGS)
        if not pair:
            raise syntax_error(item)
        found[pair[1].lower()] = re.sub(r"\\(.)", r"\1", pair[2]).replace("''", "'")
    return found


def partition_clauses(text: str, with_location: bool) -> Iterator[tuple[dict[str, str], str]]:
    position = 0
    pattern = re.compile(
        r"\s*partition\s*\(((?:[^'()]|'(?:[^']|'')*')*)\)"
        + (r"\s*location\s*'([^']*)'" if with_location else ""),
        FLAGS,
    )
    while text[position:].strip():
        match = pattern.match(text, position)
        if not match:
            raise syntax_error(text[position:].split(maxsplit=1)[0])
        keys = {}
        for item in split_list(match[1]):
            pair = re.match(rf"({PART})\s*=\s*(?:'((?:[^']|'')*)'|(-?\d+))$", item, FLAGS)
            if not pair:
                raise syntax_error(item)
            keys[parts_of(pair[1])[0]] = (
                pair[2].replace("''", "'") if pair[2] is not None else pair[3]
            )
        location = match[2] if with_location else ""
        if with_location and not location.startswith("s3://"):
            raise Refused("42601", f"Invalid location {location}")
        yield keys, location
        position = match.end()


def partition_values(table: ExternalTable, keys: dict[str, str]) -> list[str]:
    names = [column.name for column in table.partition_columns]
    if set(keys) != set(names):
        raise Refused(
            "42601", f"Partition keys do not match the table's: {', '.join(names) or 'it has none'}"
        )
    return [keys[name] for name in names]
