"""The bytes of text files: compression, encoding and the length of lines."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.ledger_rows import text_lines
from include.lake.ledger_rows.rows import FileFaultError
from tests.unit.lake.ledger_rows.parsed_file import Parse

TEXT = b"id,name\n" + b"".join(b"%d,name %d\n" % (number, number * 7919) for number in range(2000))
PACKED = gzip.compress(TEXT, mtime=0)
ROWS = 2000


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.csv", TEXT)
    return stream.getvalue()


@pytest.mark.parametrize("cut", [1, 5, 50, 500])
def test_members_of_a_gzip_file_are_read_as_one_text(parse: Parse, cut: int) -> None:
    content = gzip.compress(TEXT[:cut]) + gzip.compress(b"") + gzip.compress(TEXT[cut:])
    assert len(parse("games/a.csv.gz", content).good) == ROWS
    assert len(parse("games/A.CSV.GZ", content + b"\x00" * 512).good) == ROWS


@pytest.mark.parametrize("cut", [1, 2, 9, 10, 11, 400, len(PACKED) - 9, len(PACKED) - 1])
def test_a_truncated_gzip_file_is_refused(parse: Parse, cut: int) -> None:
    with pytest.raises(FileFaultError, match=r"^games/a.csv.gz .*(upload|not compressed)"):
        parse("games/a.csv.gz", PACKED[:cut])


@pytest.mark.parametrize("at", [2, 200, 3000, len(PACKED) - 8, len(PACKED) - 1])
def test_a_damaged_gzip_file_is_refused(parse: Parse, at: int) -> None:
    content = PACKED[:at] + bytes([PACKED[at] ^ 0xFF]) + PACKED[at + 1 :]
    with pytest.raises(FileFaultError, match=r"^games/a.csv.gz cannot be decompressed: "):
        parse("games/a.csv.gz", content)
    with pytest.raises(FileFaultError, match=r"^games/a.csv.gz cannot be decompressed: "):
        parse("games/a.csv.gz", PACKED + b"more")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv.gz", TEXT, "is not compressed with gzip, although its name ends in .gz"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "has no bytes when it is decompressed"),
        (
            "a.csv.gz",
            gzip.compress(PACKED, mtime=0),
            "is compressed with gzip: give the name the ending",
        ),
        ("a.jsonl.gz", gzip.compress(b"\n", mtime=0), "is blank"),
        ("a.csv", PACKED, "is compressed with gzip: give the name the ending .gz"),
        ("a.json", PACKED, "is compressed with gzip: give the name the ending .gz"),
        ("a.csv", b"PAR1....PAR1", "is a Parquet file"),
        ("a.csv", _zip(), "is a ZIP file or an Excel workbook"),
        ("a.csv", b"\x28\xb5\x2f\xfd....", "is compressed with zstd"),
        ("a.csv", "id,name\n1,a\n".encode("utf-16"), "is UTF-16"),
        ("a.csv", "id,name\n1,a\n".encode("utf-16-le"), "is UTF-16"),
        ("a.csv", "id,name\n1,a\n".encode("utf-16-be"), "is UTF-16"),
        ("a.csv", "id,name\n1,a\n".encode("utf-32"), "is UTF-16 or UTF-32"),
        ("a.csv.gz", gzip.compress("id,name\n".encode("utf-16"), mtime=0), "is UTF-16"),
        ("a.csv", b"id,name\n1,a\n\n2,\xe9\n3,c\n", ", line 4: the byte 0xe9 is not UTF-8"),
        ("a.csv", b"id,name\r1,a\r2,\xe9\r", ", line 3: the byte 0xe9 is not UTF-8"),
        ("a.jsonl", b'{"id": 1, "name": "\xe9"}\n', ", line 1: the byte 0xe9 is not UTF-8"),
        ("a.csv", b"id,name\n1,a\n2,\xc3", ", line 3: the byte 0xc3 is not UTF-8"),
    ],
)
@pytest.mark.parametrize("block_bytes", [9, 2 << 20])
def test_a_file_that_is_no_text_in_utf_8_is_refused(
    parse: Parse,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    message: str,
    block_bytes: int,
) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", block_bytes)
    with pytest.raises(FileFaultError, match=f"^games/{name}.*{message}"):
        parse(f"games/{name}", content)


def test_a_byte_order_mark_is_left_out_at_the_start_of_each_line(parse: Parse) -> None:
    part = "\ufeffid,name\n1,a\n"
    written = parse("games/a.csv", part + part.replace("1,a", "2,b"))
    assert written.values == [("1", "a", None), ("2", "b", None)]
    assert written.bad == [(3, "repeated_header", "id,name")]


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"x" * 2000, 1), (b"id,name\n1,a\n2," + b"x" * 2000 + b"\n3,b\n", 3)],
)
def test_a_line_that_is_too_long_is_refused(
    parse: Parse, monkeypatch: pytest.MonkeyPatch, content: bytes, line: int
) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 100)
    monkeypatch.setattr(text_lines, "LONGEST_LINE", 1000)
    with pytest.raises(FileFaultError, match=f"^games/a.csv, line {line}: the line is longer"):
        parse("games/a.csv", content)


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 8, 9, 50])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blocks_end_with_whole_lines(
    parse: Parse, monkeypatch: pytest.MonkeyPatch, block_bytes: int, end: str
) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", block_bytes)
    text = f'id,name\n1,é😀\n\n2,"b ""x"", y"\n3,{"c" * 30}\n'.replace("\n", end)
    for content in (text, text.removesuffix(end)):
        written = parse("games/a.csv", content)
        assert written.good == [
            (2, ("1", "é😀", None)),
            (4, ("2", 'b "x", y', None)),
            (5, ("3", "c" * 30, None)),
        ]
        assert not written.bad
