"""Files of the ledger in every format, and the ways in which such a file breaks.

Each breakage returns the broken file, and which rows it touched. A reader of a broken file must
either refuse the file by name, or return all untouched rows and list each touched one as bad.
"""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

Row: TypeAlias = tuple[str | None, ...]

CSV, JSON, PARQUET = "csv", "json", "parquet"
TEXT = (CSV, JSON)


@dataclass(frozen=True)
class LedgerFile:
    """A file with these rows. `delimiter`, `line_end` and `quotes_all` only matter for CSV."""

    format: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    delimiter: str = ","
    line_end: str = "\n"
    quotes_all: bool = False
    is_zipped: bool = False

    @property
    def ending(self) -> str:
        """The ending of the file's name."""
        ending = {CSV: ".csv", JSON: ".jsonl", PARQUET: ".parquet"}[self.format]
        return ending + (".gz" if self.is_zipped else "")

    @property
    def content(self) -> bytes:
        """The bytes of the whole file."""
        if self.format == PARQUET:
            return _parquet(self.columns, self.rows)
        return self.written(self.lines())

    def lines(self) -> list[str]:
        """The header of a CSV file, and the text of each row, without line ends."""
        if self.format == JSON:
            return [self.line(row) for row in self.rows]
        return [self.line(self.columns), *map(self.line, self.rows)]

    def line(self, row: Row) -> str:
        """The text of one row."""
        if self.format == JSON:
            return json.dumps(dict(zip(self.columns, row, strict=True)), ensure_ascii=False)
        return self.delimiter.join(map(self.field, row))

    def field(self, value: str | None) -> str:
        """A value as a field of a CSV file."""
        text = value or ""
        if not self.quotes_all and not set(text) & {self.delimiter, '"', "\r", "\n"}:
            return text
        return '"' + text.replace('"', '""') + '"'

    def written(self, lines: Sequence[str], encoding: str = "utf-8") -> bytes:
        """The bytes of a file with these lines."""
        return self.packed("".join(line + self.line_end for line in lines).encode(encoding))

    def without_column(self, at: int) -> LedgerFile:
        """The file without the column at this position."""
        rows = tuple((*row[:at], *row[at + 1 :]) for row in self.rows)
        return replace(self, columns=(*self.columns[:at], *self.columns[at + 1 :]), rows=rows)

    def packed(self, content: bytes) -> bytes:
        """The bytes, compressed if the file is."""
        return gzip.compress(content, mtime=0) if self.is_zipped else content


@dataclass(frozen=True)
class Broken:
    """A broken file: its content, the ending of its name, and which rows the breakage touched.

    `rows` are those of the whole file, and `touched` their indexes. `added` counts the lines that
    the breakage added and that are no rows, less the lines that it removed.
    """

    content: bytes
    ending: str
    rows: tuple[Row, ...]
    touched: frozenset[int] = frozenset()
    added: int = 0
    must_be_refused: bool = False


_Break: TypeAlias = Callable[[LedgerFile, random.Random], Broken]


@dataclass(frozen=True)
class Breakage:
    """A way to break files of some formats; `needs_zip` if only compressed files break so."""

    formats: tuple[str, ...]
    apply: _Break
    needs_zip: bool = False


BREAKAGES: dict[str, Breakage] = {}
"""The breakages by name."""


def _breaks(*formats: str, needs_zip: bool = False) -> Callable[[_Break], _Break]:
    def register(function: _Break) -> _Break:
        BREAKAGES[function.__name__] = Breakage(formats, function, needs_zip)
        return function

    return register


def _parquet(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    table = pa.table(
        {f"{at}": pa.array([row[at] for row in rows], pa.string()) for at in range(len(columns))}
    ).rename_columns(list(columns))
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=3, write_page_checksum=True)
    return stream.getvalue()


def _made(
    file: LedgerFile,
    lines: Sequence[str] | None = None,
    *,
    content: bytes | None = None,
    touched: Sequence[int] = (),
    added: int = 0,
    is_refused: bool = False,
) -> Broken:
    if content is None:
        content = file.written(file.lines() if lines is None else lines)
    return Broken(content, file.ending, file.rows, frozenset(touched), added, is_refused)


def _one(file: LedgerFile, rng: random.Random, change: Callable[[str], str]) -> Broken:
    """The file with one line changed."""
    at = rng.randrange(len(file.rows))
    lines = file.lines()
    place = at + (file.format == CSV)
    lines[place] = change(lines[place])
    return _made(file, lines, touched=[at])


def _with_fields(
    file: LedgerFile, rng: random.Random, change: Callable[[list[str]], None]
) -> Broken:
    """The CSV file with the fields of one row changed."""
    at = rng.randrange(len(file.rows))
    fields = list(map(file.field, file.rows[at]))
    change(fields)
    lines = file.lines()
    lines[at + 1] = file.delimiter.join(fields)
    return _made(file, lines, touched=[at])


@_breaks(CSV)
def short_row(file: LedgerFile, rng: random.Random) -> Broken:
    return _with_fields(file, rng, lambda fields: fields.__delitem__(-1))


@_breaks(CSV)
def long_row(file: LedgerFile, rng: random.Random) -> Broken:
    return _with_fields(file, rng, lambda fields: fields.insert(rng.randrange(9), "7"))


@_breaks(CSV)
def unquoted_delimiter(file: LedgerFile, rng: random.Random) -> Broken:
    def change(fields: list[str]) -> None:
        fields[rng.randrange(len(fields))] = f"1{file.delimiter}50"

    return _with_fields(file, rng, change)


def _with_quote(file: LedgerFile, rng: random.Random, value: str) -> Broken:
    """The CSV file with one value that has a stray quote, in a row of ordinary values."""
    at = rng.randrange(len(file.rows))
    fields = ["7"] * len(file.columns)
    fields[rng.randrange(len(fields))] = value
    lines = file.lines()
    lines[at + 1] = file.delimiter.join(fields)
    return _made(file, lines, touched=[at])


@_breaks(CSV)
def unclosed_quote(file: LedgerFile, rng: random.Random) -> Broken:
    return _with_quote(file, rng, rng.choice(('"Lucky 7', '"', f'"Lucky{file.delimiter} 7')))


@_breaks(CSV)
def unopened_quote(file: LedgerFile, rng: random.Random) -> Broken:
    return _with_quote(file, rng, 'Lucky 7"')


@_breaks(CSV)
def quote_in_the_middle(file: LedgerFile, rng: random.Random) -> Broken:
    return _with_quote(file, rng, rng.choice(('5" disk', 'a "b" c', '"5" disk"')))


@_breaks(CSV)
def cut_last_line(file: LedgerFile, rng: random.Random) -> Broken:
    *lines, last = file.lines()
    # A line that is cut within its last field cannot be recognised.
    fields = list(map(file.field, file.rows[-1]))
    kept = file.delimiter.join(fields[:-1])
    text = file.line_end.join([*lines, last[: rng.randrange(1, len(kept) + 1)] if kept else ""])
    return _made(file, content=file.packed(text.encode()), touched=[len(file.rows) - 1])


@_breaks(CSV)
def total_footer(file: LedgerFile, _rng: random.Random) -> Broken:
    fields = ["TOTAL", "1000.00"] if len(file.columns) > 2 else ["TOTAL", "1", "1000.00"]
    return _made(file, [*file.lines(), file.delimiter.join(fields)], added=1)


@_breaks(CSV)
def row_count_footer(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, [*file.lines(), "", f"({len(file.rows)} rows affected)"], added=1)


@_breaks(CSV)
def repeated_header(file: LedgerFile, rng: random.Random) -> Broken:
    lines = file.lines()
    lines.insert(rng.randrange(1, len(lines) + 1), lines[0])
    return _made(file, lines, added=1)


@_breaks(CSV, JSON)
def nul_character(file: LedgerFile, rng: random.Random) -> Broken:
    def change(line: str) -> str:
        at = rng.randrange(len(line) + 1)
        return line[:at] + "\x00" + line[at:]

    return _one(file, rng, change)


@_breaks(CSV)
def carriage_return_in_a_row(file: LedgerFile, rng: random.Random) -> Broken:
    return _with_fields(file, rng, lambda fields: fields.__setitem__(0, "a\rb"))


@_breaks(CSV)
def rows_joined_by_carriage_return(file: LedgerFile, rng: random.Random) -> Broken:
    lines = file.lines()
    at = rng.randrange(1, len(lines))
    rows = lines[at : at + 2]
    lines[at : at + 2] = ["\r".join(rows) + ("\r" if len(rows) == 1 else "")]
    broken = _made(file, lines, touched=range(at - 1, at - 1 + len(rows)))
    # One bad line holds two rows.
    return replace(broken, added=1 - len(rows))


@_breaks(CSV, JSON)
def mixed_line_ends(file: LedgerFile, rng: random.Random) -> Broken:
    text = "".join(line + rng.choice(("\n", "\r\n")) for line in file.lines())
    return _made(file, content=file.packed(text.encode()))


@_breaks(CSV, JSON)
def blank_lines(file: LedgerFile, rng: random.Random) -> Broken:
    lines = [part for line in file.lines() for part in (*[""] * rng.randrange(3), line)]
    return _made(file, lines)


@_breaks(CSV, JSON)
def byte_order_mark(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, content=file.written(file.lines(), "utf-8-sig"))


@_breaks(CSV, JSON)
def latin_1(file: LedgerFile, rng: random.Random) -> Broken:
    lines = file.lines()
    at = rng.randrange(len(lines))
    text = "".join(line + file.line_end for line in lines).encode()
    place = len("".join(line + file.line_end for line in lines[:at]).encode())
    content = text[:place] + b"\xe9" + text[place:]
    return _made(file, content=file.packed(content), is_refused=True)


@_breaks(CSV, JSON)
def utf_16(file: LedgerFile, rng: random.Random) -> Broken:
    encoding = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32"))
    return _made(file, content=file.written(file.lines(), encoding), is_refused=True)


@_breaks(CSV, JSON, PARQUET)
def missing_column(file: LedgerFile, rng: random.Random) -> Broken:
    at = rng.randrange(len(file.columns))
    return _made(file, content=file.without_column(at).content, is_refused=True)


@_breaks(CSV, JSON, PARQUET)
def renamed_column(file: LedgerFile, rng: random.Random) -> Broken:
    at = rng.randrange(len(file.columns))
    columns = (*file.columns[:at], file.columns[at] + "_id", *file.columns[at + 1 :])
    return _made(file, content=replace(file, columns=columns).content, is_refused=True)


@_breaks(CSV)
def empty_name_in_header(file: LedgerFile, rng: random.Random) -> Broken:
    at = rng.randrange(len(file.columns))
    columns = (*file.columns[:at], "", *file.columns[at + 1 :])
    return _made(file, content=replace(file, columns=columns).content, is_refused=True)


@_breaks(CSV, PARQUET)
def column_twice(file: LedgerFile, rng: random.Random) -> Broken:
    name = rng.choice(file.columns)
    columns = (*file.columns, name.upper())
    rows = tuple((*row, "other") for row in file.rows)
    wide = replace(file, columns=columns, rows=rows)
    return _made(file, content=wide.content, is_refused=True)


@_breaks(CSV)
def no_header(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, file.lines()[1:], is_refused=True)


@_breaks(CSV)
def other_delimiter_below_the_header(file: LedgerFile, _rng: random.Random) -> Broken:
    other = replace(file, delimiter=";" if file.delimiter != ";" else "\t")
    # Delimiters of the header inside a row could make it a row of the header by accident.
    rows = [line.replace(file.delimiter, "") for line in other.lines()[1:]]
    lines = [file.lines()[0], *rows]
    return _made(file, lines, touched=range(len(file.rows)))


@_breaks(CSV)
def delimiter_behind_each_row(file: LedgerFile, _rng: random.Random) -> Broken:
    header, *lines = file.lines()
    lines = [line + file.delimiter for line in lines]
    return _made(file, [header, *lines], is_refused=True)


@_breaks(CSV)
def delimiter_behind_each_line(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, [line + file.delimiter for line in file.lines()])


@_breaks(CSV)
def excel_delimiter_line(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, [f"sep={file.delimiter}", *file.lines()])


@_breaks(CSV)
def wrong_excel_delimiter_line(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, [f"sep={'#' if file.delimiter == ';' else ';'}", *file.lines()])


@_breaks(CSV, JSON, needs_zip=True)
def truncated_gzip(file: LedgerFile, rng: random.Random) -> Broken:
    content = file.content
    return _made(file, content=content[: rng.randrange(1, len(content))], is_refused=True)


@_breaks(CSV, JSON, needs_zip=True)
def damaged_gzip(file: LedgerFile, rng: random.Random) -> Broken:
    return _made(file, content=_flipped(file.content, rng))


@_breaks(CSV, JSON, needs_zip=True)
def bytes_behind_gzip(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, content=file.content + b"more", is_refused=True)


@_breaks(CSV, JSON, needs_zip=True)
def gzip_in_two_members(file: LedgerFile, rng: random.Random) -> Broken:
    content = replace(file, is_zipped=False).content
    cut = rng.randrange(len(content) + 1)
    return _made(file, content=gzip.compress(content[:cut]) + gzip.compress(content[cut:]))


@_breaks(CSV, JSON)
def gzip_without_its_ending(file: LedgerFile, _rng: random.Random) -> Broken:
    content = replace(file, is_zipped=True).content
    ending = replace(file, is_zipped=False).ending
    return replace(_made(file, content=content, is_refused=True), ending=ending)


@_breaks(CSV, JSON)
def plain_text_as_gzip(file: LedgerFile, _rng: random.Random) -> Broken:
    content = replace(file, is_zipped=False).content
    ending = replace(file, is_zipped=True).ending
    return replace(_made(file, content=content, is_refused=True), ending=ending)


@_breaks(CSV, JSON, PARQUET)
def no_bytes(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, content=b"", is_refused=True)


@_breaks(CSV, JSON)
def blank_only(file: LedgerFile, rng: random.Random) -> Broken:
    content = file.packed(rng.choice((b"\n", b" \n\n", b"\r\n\r\n", b"  ")))
    return _made(file, content=content, is_refused=True)


@_breaks(JSON)
def half_a_line(file: LedgerFile, rng: random.Random) -> Broken:
    *lines, last = file.lines()
    text = "".join(line + "\n" for line in lines) + last[: rng.randrange(1, len(last))]
    return _made(file, content=file.packed(text.encode()), touched=[len(file.rows) - 1])


@_breaks(JSON)
def piece_missing_from_a_line(file: LedgerFile, rng: random.Random) -> Broken:
    # Without a brace, a line is no object, wherever the other end of the piece is.
    return _one(file, rng, lambda line: line[rng.randrange(1, len(line)) :])


@_breaks(JSON)
def json_array(file: LedgerFile, rng: random.Random) -> Broken:
    rows = [json.loads(line) for line in file.lines()]
    text = json.dumps(rows, indent=rng.choice((None, 2)))
    return _made(file, content=file.packed(text.encode()), is_refused=True)


@_breaks(JSON)
def objects_over_several_lines(file: LedgerFile, _rng: random.Random) -> Broken:
    lines = [json.dumps(json.loads(line), indent=2) for line in file.lines()]
    return _made(file, lines, is_refused=True)


@_breaks(JSON)
def json_scalars(file: LedgerFile, rng: random.Random) -> Broken:
    lines = file.lines()
    for scalar in ("5", '"text"', "null", "true", "[1]"):
        lines.insert(rng.randrange(1, len(lines) + 1), scalar)
    return _made(file, lines, added=5)


@_breaks(JSON)
def json_constant(file: LedgerFile, rng: random.Random) -> Broken:
    constant = rng.choice(("NaN", "Infinity", "-Infinity"))
    return _one(file, rng, lambda line: f'{line[:-1]}, "more": {constant}}}')


@_breaks(JSON)
def key_twice(file: LedgerFile, rng: random.Random) -> Broken:
    name = rng.choice(file.columns)
    key = rng.choice((name, name.upper()))
    return _one(file, rng, lambda line: f'{line[:-1]}, "{key}": "another value"}}')


@_breaks(JSON)
def keys_in_upper_case(file: LedgerFile, _rng: random.Random) -> Broken:
    columns = tuple(name.upper() for name in file.columns)
    return _made(file, content=replace(file, columns=columns).content)


@_breaks(JSON)
def objects_side_by_side(file: LedgerFile, rng: random.Random) -> Broken:
    text = rng.choice(("", " ", "\t")).join(file.lines())
    return _made(file, content=file.packed(text.encode()))


@_breaks(PARQUET)
def damaged_parquet_footer(file: LedgerFile, rng: random.Random) -> Broken:
    content = bytearray(file.content)
    length = int.from_bytes(content[-8:-4], "little")
    start = rng.randrange(len(content) - 8 - length, len(content) - 16)
    content[start : start + 8] = rng.randbytes(8)
    return _made(file, content=bytes(content))


@_breaks(PARQUET)
def damaged_parquet_length(file: LedgerFile, rng: random.Random) -> Broken:
    content = file.content
    return _made(file, content=content[:-8] + rng.randbytes(4) + content[-4:], is_refused=True)


@_breaks(PARQUET)
def damaged_parquet_page(file: LedgerFile, rng: random.Random) -> Broken:
    content = file.content
    length = int.from_bytes(content[-8:-4], "little")
    pages = len(content) - 8 - length
    return _made(file, content=_flipped(content[:pages], rng) + content[pages:])


@_breaks(PARQUET)
def truncated_parquet(file: LedgerFile, rng: random.Random) -> Broken:
    content = file.content
    return _made(file, content=content[: rng.randrange(1, len(content))], is_refused=True)


@_breaks(PARQUET)
def text_as_parquet(file: LedgerFile, _rng: random.Random) -> Broken:
    return _made(file, content=replace(file, format=CSV).content, is_refused=True)


def _flipped(content: bytes, rng: random.Random) -> bytes:
    """The content with one bit changed."""
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
