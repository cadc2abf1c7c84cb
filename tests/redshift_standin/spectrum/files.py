"""Reads the rows of Parquet, CSV and JSON-lines files, and refuses what Spectrum refuses."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tests.redshift_standin.refusals import Refused, scan_error
from tests.redshift_standin.spectrum.tables import Column, FileFormat

Properties = dict[str, str]


def read_file(
    data: bytes,
    path: str,
    format: FileFormat,  # noqa: A002
    columns: list[Column],
    fixed: Mapping[str, str],
    serde_properties: Properties,
    properties: Properties,
) -> tuple[bytes, int]:
    """Return the rows of a file as CSV for PostgreSQL's COPY, and their number.

    The CSV has the `columns`, then the `fixed` columns, which have one value for the whole file.
    Raises Refused.
    """
    match format:
        case FileFormat.PARQUET:
            table = read_parquet(data, path, columns)
        case FileFormat.CSV:
            table = read_csv(data, path, columns, serde_properties, properties)
        case FileFormat.JSON:
            table = read_json(data, path, columns, serde_properties)
    table = handle_surplus(table, columns, properties)
    for name, value in fixed.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    text = io.BytesIO()
    # Texts are quoted and nulls are not. COPY distinguishes an empty text from a null by that.
    pyarrow.csv.write_csv(
        pa.table(
            [as_text(table.column(i)) for i in range(table.num_columns)], names=table.column_names
        ),
        text,
        pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"),
    )
    return text.getvalue(), table.num_rows


def as_text(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """Convert a column of bytes to the hexadecimal text that PostgreSQL reads.

    A column with a dictionary becomes a plain one, and any other column stays as it is.
    """
    kind = column.type
    if (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        return pa.chunked_array(
            [
                pa.array(
                    [None if v is None else "\\x" + v.hex() for v in column.to_pylist()],
                    pa.string(),
                )
            ]
        )
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    return column


# Parquet
# ------------------------------------------------------------------------------------------------


def _is_text(field: Any) -> bool:
    return bool(
        field.physical_type == "BYTE_ARRAY"
        and field.logical_type.type in ("STRING", "ENUM", "JSON", "NONE")
    )


def _is_integer(bits: int, *logical: int) -> Callable[[Any], bool]:
    def fits(field: Any) -> bool:
        kind = field.logical_type.type
        if field.physical_type != f"INT{bits}":
            return False
        if kind == "NONE":
            return bits in logical
        described = json.loads(field.logical_type.to_json())
        return bool(kind == "INT" and described["bitWidth"] in logical and described["isSigned"])

    return fits


def _has(physical: str) -> Callable[[Any], bool]:
    return lambda field: bool(field.physical_type == physical)


# The physical types that the documentation allows for each column type. An integer type is never
# widened or narrowed.
FITS: dict[str, Callable[[Any], bool]] = {
    "varchar": _is_text,
    "char": _is_text,
    "varbyte": _has("BYTE_ARRAY"),
    "smallint": _is_integer(32, 8, 16, 32),
    "integer": _is_integer(32, 8, 16, 32),
    "bigint": _is_integer(64, 64),
    "boolean": _has("BOOLEAN"),
    "real": _has("FLOAT"),
    "double precision": _has("DOUBLE"),
    "date": lambda field: field.physical_type == "INT32" and field.logical_type.type == "DATE",
    "timestamp": lambda field: (
        field.physical_type == "INT96"
        or (field.physical_type == "INT64" and field.logical_type.type == "TIMESTAMP")
    ),
    "decimal": lambda field: field.logical_type.type == "DECIMAL",
}


def read_parquet(data: bytes, path: str, columns: list[Column]) -> pa.Table:
    """Read the columns of a Parquet file by name, in any letter case.

    A column that the file does not have is null. Raises Refused for a type that does not fit.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise scan_error(
            15001, f"File '{https_of(path)}' is not a valid Parquet file: {error}"
        ) from None
    places: dict[str, tuple[int, Any]] = {}
    for place in range(len(file.schema)):
        leaf = file.schema.column(place)
        places.setdefault(leaf.path.split(".")[0].lower(), (place, leaf))
    wanted: dict[str, str] = {}
    for column in columns:
        if column.name not in places:
            continue
        place, leaf = places[column.name]
        nested = "." in leaf.path
        if (
            nested
            or not FITS.get(column.kind, lambda _: False)(leaf)
            or not _same_scale(column, leaf)
        ):
            raise incompatible(path, column, place, leaf)
        wanted[column.name] = leaf.path
    try:
        read = file.read(columns=list(wanted.values()))
    except (pa.ArrowInvalid, OSError) as error:
        raise scan_error(15001, f"File '{https_of(path)}' cannot be read: {error}") from None
    found = {
        name: read.column(read.column_names.index(written)) for name, written in wanted.items()
    }
    empty = pa.chunked_array([pa.nulls(file.metadata.num_rows, pa.string())])
    return pa.table([found.get(c.name, empty) for c in columns], names=[c.name for c in columns])


def _same_scale(column: Column, leaf: Any) -> bool:
    if column.kind != "decimal":
        return True
    declared = [int(n) for n in re.findall(r"\d+", column.type.partition("(")[2])]
    precision, scale = (*declared, 18, 0)[:2] if not declared else (declared[0], [*declared, 0][1])
    described = json.loads(leaf.logical_type.to_json())
    return bool(described["scale"] == scale and described["precision"] <= precision)


def https_of(path: str) -> str:
    bucket, _, key = path.removeprefix("s3://").partition("/")
    return f"https://s3.us-east-1.amazonaws.com/{bucket}/{key}"


def incompatible(path: str, column: Column, place: int, leaf: Any) -> Refused:
    repetition = "required" if leaf.max_definition_level == 0 else "optional"
    schema = (
        f"{repetition} {leaf.physical_type.lower()} {leaf.name} "
        f"[i:{place} d:{leaf.max_definition_level} r:{leaf.max_repetition_level}]"
    )
    return scan_error(
        15007,
        f"File '{https_of(path)}' has an incompatible Parquet schema for column "
        f"'{path}.{column.name}'. "
        f"Column type: {column.type.upper()}, Parquet schema:\n{schema} ({path})",
    )


# CSV and JSON
# ------------------------------------------------------------------------------------------------


def decoded(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise scan_error(15001, f"File '{path}' contains invalid UTF-8 characters") from None


def of_texts(rows: list[list[str | None]], columns: list[Column]) -> pa.Table:
    arrays = [pa.array([row[i] for row in rows], pa.string()) for i in range(len(columns))]
    return pa.table(arrays, names=[c.name for c in columns])


def read_csv(
    data: bytes,
    path: str,
    columns: list[Column],
    serde_properties: Properties,
    properties: Properties,
) -> pa.Table:
    """Read a CSV file as Hive's OpenCSVSerde does.

    Columns are found by position and are all texts. An empty field is an empty text, not a null.
    """
    lines = csv.reader(
        io.StringIO(decoded(data, path), newline=""),
        delimiter=serde_properties.get("separatorchar", ","),
        quotechar=serde_properties.get("quotechar", '"'),
        escapechar=serde_properties.get("escapechar", "\\"),
    )
    skipped = int(properties.get("skip.header.line.count", "0"))
    rows: list[list[str | None]] = []
    csv.field_size_limit(2**31 - 1)
    for number, line in enumerate(lines):
        if number >= skipped and line:
            padded: list[str | None] = [*line, *[None] * len(columns)]
            rows.append(padded[: len(columns)])
    return of_texts(rows, columns)


def read_json(
    data: bytes, path: str, columns: list[Column], serde_properties: Properties
) -> pa.Table:
    """Read JSON lines as the JsonSerDe of openx does: by name, in any letter case."""
    ignores = serde_properties.get("ignore.malformed.json", "false").lower() == "true"
    rows: list[list[str | None]] = []
    for line in decoded(data, path).split("\n"):
        if not line.strip():
            continue
        try:
            # A number keeps the text with which it is written.
            value = json.loads(line, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
            if not isinstance(value, dict):
                raise TypeError
        except (ValueError, TypeError, RecursionError):
            if not ignores:
                raise scan_error(
                    15001, f"File '{path}': Row is not a valid JSON Object: {line[:100]}"
                ) from None
            value = {}
        by_name = {name.lower(): item for name, item in value.items()}
        rows.append([_json_text(by_name.get(c.name)) for c in columns])
    return of_texts(rows, columns)


class _Number(str):
    """The text of a JSON number."""


def _json_text(value: object) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return str(value)
        case _:
            return _dumped(value)


def _dumped(value: object) -> str:
    match value:
        case _Number():
            return str(value)
        case dict():
            return (
                "{"
                + ",".join(
                    f"{json.dumps(k, ensure_ascii=False)}:{_dumped(v)}" for k, v in value.items()
                )
                + "}"
            )
        case list():
            return "[" + ",".join(map(_dumped, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


# Values that are too long
# -----------------------------------------------------------------------------------------------


def handle_surplus(table: pa.Table, columns: list[Column], properties: Properties) -> pa.Table:
    """Apply the properties `surplus_char_handling` and `surplus_bytes_handling` to long values.

    Raises Refused for a value that is too long if data cleansing is off or the property is FAIL.
    """
    is_on = properties.get("data_cleansing_enabled", "false").lower() == "true"
    arrays = [table.column(i) for i in range(table.num_columns)]
    dropped = None
    for place, column in enumerate(columns):
        limit = column.byte_count
        if limit is None or arrays[place].null_count == len(arrays[place]):
            continue
        if pa.types.is_dictionary(arrays[place].type):
            arrays[place] = arrays[place].cast(arrays[place].type.value_type)
        lengths = pc.binary_length(arrays[place])
        if (pc.max(lengths).as_py() or 0) <= limit:
            continue
        name = "surplus_bytes_handling" if column.kind == "varbyte" else "surplus_char_handling"
        handling = properties.get(name, "SET_TO_NULL").upper() if is_on else "FAIL"
        too_long = pc.fill_null(pc.greater(lengths, pa.scalar(limit)), False)
        match handling:
            case "SET_TO_NULL":
                arrays[place] = pc.if_else(
                    too_long, pa.scalar(None, arrays[place].type), arrays[place]
                )
            case "DROP_ROW":
                dropped = too_long if dropped is None else pc.or_(dropped, too_long)
            case "TRUNCATE":
                arrays[place] = pa.chunked_array([_truncated(arrays[place], limit)])
            case _:
                raise scan_error(
                    15001,
                    f"The length of the data column {column.name} is longer than the length "
                    f"defined in the table. "
                    f"Table: {limit}, Data: {pc.max(lengths).as_py()}",
                )
    if dropped is not None:
        # The documentation of DROP_ROW: each value of the row becomes null.
        arrays = [pc.if_else(dropped, pa.scalar(None, array.type), array) for array in arrays]
    return pa.table(arrays, names=table.column_names)


def _truncated(array: pa.ChunkedArray[Any], limit: int) -> pa.Array[Any]:
    def cut(value: str | bytes | None) -> str | bytes | None:
        if isinstance(value, str):
            return value.encode()[:limit].decode(errors="ignore")
        return None if value is None else value[:limit]

    kept: pa.Array[Any] = pa.array([cut(value) for value in array.to_pylist()], array.type)
    return kept
