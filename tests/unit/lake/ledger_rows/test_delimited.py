"""The rules of CSV and TSV files: the header decides, and a bad row changes no other."""

from __future__ import annotations

import gzip
import time

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.ledger_rows import text_lines
from include.lake.ledger_rows.quotes import MAX_RECORD_LINES
from include.lake.ledger_rows.rows import RAW_LENGTH, FileFaultError
from tests.unit.lake.ledger_rows.parsed_file import Parse, Row

HEADER = "id,name,note\n"
AROUND = "1,a,x\n", "9,z,y\n"

CELL = "Secret7"
"""A cell's text that no message may contain."""


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("id,name,note\n1,a,x\n", [("1", "a", "x")], id="comma"),
        pytest.param("id;name;note\n1;a,b;x\n", [("1", "a,b", "x")], id="semicolon"),
        pytest.param("id\tname\tnote\n1\ta,b;c\tx\n", [("1", "a,b;c", "x")], id="tab"),
        pytest.param("id|name|note\n1|a\tb|x\n", [("1", "a\tb", "x")], id="pipe"),
        pytest.param("\ufeffid,name,note\n1,a,x\n", [("1", "a", "x")], id="byte order mark"),
        pytest.param('"id","name","note"\n1,a,x\n', [("1", "a", "x")], id="quoted header"),
        pytest.param('\ufeff"ID"; "x";"Name"\n1;2;a\n', None, id="blank before a quote"),
        pytest.param("NOTE, Name ,ID\nx,a,1\n", [("1", "a", "x")], id="order and case"),
        pytest.param("id,name\n1,a\n", [("1", "a", None)], id="optional column missing"),
        pytest.param("id,more,name,,\n1,m,a,,\n", [("1", "a", None)], id="undeclared columns"),
        pytest.param("a,a,id,name\n1,2,3,4\n", [("3", "4", None)], id="undeclared name twice"),
        pytest.param("id,name,\n1,a,\n2,b,c\n", [("1", "a", None), ("2", "b", None)], id="end"),
        pytest.param("\n \n\nid,name\n1,a\n", [("1", "a", None)], id="blanks above the header"),
        pytest.param("id,name\n\n1,a\n  \n\n", [("1", "a", None)], id="blank lines"),
        pytest.param("id,name\r\n1,a\r\n2,b\r\n", [("1", "a", None), ("2", "b", None)], id="CRLF"),
        pytest.param("id,name\r1,a\r2,b\r", [("1", "a", None), ("2", "b", None)], id="CR"),
        pytest.param("id,name\n1,a\r\n2,b\n", [("1", "a", None), ("2", "b", None)], id="mixed"),
        pytest.param("id,name\r\n1,a\n2,b", [("1", "a", None), ("2", "b", None)], id="no end"),
        pytest.param("id,name\n1,a\r\n2,b\r", [("1", "a", None), ("2", "b", None)], id="cut CRLF"),
        pytest.param("id,name\n", [], id="header only"),
        pytest.param("id,name", [], id="header without line end"),
        pytest.param("sep=;\nid;name\n1;a\n", [("1", "a", None)], id="Excel's sep"),
        pytest.param('"sep=\t"\r\nid\tname\r\n1\ta\r\n', [("1", "a", None)], id="quoted sep"),
        pytest.param('id,name\n1,\n2,""\n', [("1", None, None), ("2", None, None)], id="empty"),
        pytest.param(
            "id,name\n1,\\N\n2, b \n", [("1", "\\N", None), ("2", " b ", None)], id="as is"
        ),
        pytest.param("id,name\n,\n", [(None, None, None)], id="nulls only"),
        pytest.param('id,name\n1,"a ""b"", c"\n', [("1", 'a "b", c', None)], id="quotes"),
        pytest.param(
            "id,name\n1,a\u2028b\x85\x0bc\n", [("1", "a\u2028b\x85\x0bc", None)], id="ends"
        ),
    ],
)
def test_the_header_decides_how_rows_are_read(
    parse: Parse, text: str, rows: list[Row] | None
) -> None:
    if rows is None:
        with pytest.raises(FileFaultError, match="header"):
            parse("games/a.csv", text)
        return
    written = parse("games/a.csv", text)
    assert written.values == rows
    assert not written.bad


def test_a_line_of_tabs_is_a_row_of_a_tsv_file(parse: Parse) -> None:
    written = parse("games/a.tsv", "id\tname\tnote\n1\ta\tx\n\t\t\n \n\t\n")
    assert written.good == [(2, ("1", "a", "x")), (3, (None, None, None))]
    assert written.reasons == [(5, "too_few_fields")]


def test_a_header_of_one_column_has_the_delimiter_of_the_ending(parse: Parse) -> None:
    columns = {"id": True}
    assert parse("games/a.csv", "id\na;b\n\nc\n", columns).values == [("a;b",), ("c",)]
    assert parse("games/a.csv", "id\na\nb,c\n", columns).reasons == [(3, "too_many_fields")]
    assert parse("games/a.TSV.gz", gzip.compress(b"id\na,b\n"), columns).values == [("a,b",)]


@pytest.mark.parametrize(
    ("lines", "bad"),
    [
        ("2,b", [(3, "too_few_fields")]),
        ("2", [(3, "too_few_fields")]),
        ("2,b,c,d", [(3, "too_many_fields")]),
        ("2,b,c,", [(3, "too_many_fields")]),
        ("TOTAL,1000.00", [(3, "too_few_fields")]),
        ("(2 rows affected)", [(3, "too_few_fields")]),
        ("2,1,50,c", [(3, "too_many_fields")]),
        ('2,"b,c', [(3, "unclosed_quote")]),
        ('"2,b,c', [(3, "unclosed_quote")]),
        ('2,b,"', [(3, "unclosed_quote")]),
        ('2,b",c', [(3, "malformed_quote")]),
        ('2,5" disk,c', [(3, "malformed_quote")]),
        ('2,a "b" c,d', [(3, "malformed_quote")]),
        ('2,"b"x,c', [(3, "malformed_quote")]),
        ('2, "b",c', [(3, "malformed_quote")]),
        ('2,"b\nc,d', [(3, "unclosed_quote"), (4, "too_few_fields")]),
        ("2,b\x00,c", [(3, "nul_character")]),
        ('2,"b\x00",c', [(3, "nul_character")]),
        ('2,"b\nx\x00",c', [(3, "nul_character")]),
        ('2,"b\x00\nc",d', [(3, "nul_character")]),
        ('2,"b\rc\nd,e",f', [(3, "mixed_line_ends")]),
        ("2,b,c\r3,d,e", [(3, "mixed_line_ends")]),
        ('2,"b\rd",c', [(3, "mixed_line_ends")]),
        ("2,b,c\r\r", [(3, "mixed_line_ends")]),
        ("id,name,note", [(3, "repeated_header")]),
        ('2,"b\nc"', [(3, "too_few_fields")]),
        ('2,"b\nc",d,e', [(3, "too_many_fields")]),
    ],
)
@pytest.mark.parametrize("block_bytes", [10, 2 << 20])
def test_a_bad_row_changes_no_other(
    parse: Parse,
    monkeypatch: pytest.MonkeyPatch,
    lines: str,
    bad: list[tuple[int, str]],
    block_bytes: int,
) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", block_bytes)
    before, after = AROUND
    for end in ("\n", "\r\n"):
        text = f"{HEADER}{before}{lines}\n{after}".replace("\n", end)
        written = parse("games/a.csv", text)
        last = text.count("\n")
        assert written.good == [(2, ("1", "a", "x")), (last, ("9", "z", "y"))]
        assert written.reasons == bad
        assert [text for _, _, text in written.bad] != [""]


@pytest.mark.parametrize(
    ("record", "row"),
    [
        ('2,"b\nc",d', ("2", "b\nc", "d")),
        ('2,"b,\nc,d,e,f\ng",d', ("2", "b,\nc,d,e,f\ng", "d")),
        ('"2\n3",b,d', ("2\n3", "b", "d")),
        ('2,b,"c\n\nd"', ("2", "b", "c\n\nd")),
        ('2,"a\nb","c\nd"', ("2", "a\nb", "c\nd")),
        ('2,"say ""x""\n""y""",d', ("2", 'say "x"\n"y"', "d")),
        ('2,"\n",d', ("2", "\n", "d")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quoted_value_may_span_lines(parse: Parse, record: str, row: Row, end: str) -> None:
    before, after = AROUND
    written = parse("games/a.csv", f"{HEADER}{before}{record}\n{after}".replace("\n", end))
    value = tuple(text and text.replace("\n", end) for text in row)
    assert [row for _, row in written.good] == [("1", "a", "x"), value, ("9", "z", "y")]
    assert not written.bad


@pytest.mark.parametrize(
    ("lines", "good", "reasons"),
    [
        pytest.param(
            ['2,"b,c', "3,d,e", "4,f,g", '5,h",i'],
            [],
            ["quote_across_rows"] * 4,
            id="two stray quotes with rows between them",
        ),
        pytest.param(
            ['2,"b,c', '3,d",e'], [], ["quote_across_rows"] * 2, id="two stray quotes in a row"
        ),
        pytest.param(
            ['2,"b', "c,d,e", 'f",g'], [], ["quote_across_rows"] * 3, id="a row inside a value"
        ),
        pytest.param(
            ['2,"b,c', '3,"d",e'], ["3"], ["unclosed_quote"], id="a quoted value in the next row"
        ),
        pytest.param(
            ['2,"b,c', '3,"d\ne",f'], ["3"], ["unclosed_quote"], id="a value of two lines behind"
        ),
        pytest.param(
            ['2,b,"c', '3,"\nd",f'],
            [],
            ["quote_across_rows"] * 3,
            id="a value that begins with LF",
        ),
        pytest.param(
            ['2,b,"c', "4,d,e", '3,f,"\nd"'],
            [],
            ["quote_across_rows"] * 4,
            id="a value that begins with LF behind a row",
        ),
        pytest.param(
            ['2,"b', '3,"c', '4,"d"'], [], ["unclosed_quote"] * 2 + ["too_few_fields"], id="many"
        ),
    ],
)
def test_lines_are_joined_only_if_none_looks_like_a_row(
    parse: Parse, lines: list[str], good: list[str], reasons: list[str]
) -> None:
    before, after = AROUND
    written = parse("games/a.csv", HEADER + before + "\n".join(lines) + "\n" + after)
    assert [row[0] for _, row in written.good] == ["1", *good, "9"]
    assert [reason for _, reason in written.reasons] == reasons


def test_a_quote_that_is_never_closed_reaches_as_far_as_a_row_may(parse: Parse) -> None:
    rows = "".join(f"{number},a,b\n" for number in range(3 * MAX_RECORD_LINES))
    written = parse("games/a.csv", f'{HEADER}1,"x,y\n{rows}2,y",z\n')
    assert len(written.good) == 3 * MAX_RECORD_LINES
    assert [reason for _, reason in written.reasons] == ["unclosed_quote", "malformed_quote"]


def test_lines_behind_an_open_quote_are_bad_if_the_file_is_cut(parse: Parse) -> None:
    written = parse("games/a.csv", f'{HEADER}1,a,x\n2,"b\nc,d,e\nf')
    assert written.values == [("1", "a", "x")]
    assert written.reasons == [(line, "unclosed_quote") for line in (3, 4, 5)]


def test_the_text_of_a_bad_row_is_cut(parse: Parse) -> None:
    written = parse("games/a.csv", f"{HEADER}1,a,x\n2,{'b' * 5000}\n\x00,b\n")
    assert [len(text) for _, _, text in written.bad] == [RAW_LENGTH, 3]
    assert written.bad[1][2] == "\ufffd,b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no bytes"),
        (" \n\n", "is blank"),
        ("sep=;\n", "is blank"),
        ("sep=#\nid#name\n", "line 1: the line sep= names another delimiter"),
        ("sep=;\nid,name\n1,a\n", "line 2: the header has none of the columns id, name"),
        (f"1,{CELL},x\n2,b,c\n", "line 1: the header has none of the columns id, name"),
        (f"{CELL},name\n1,a\n", "line 1: the header lacks the column id .*number 1.*optional"),
        ("\n\nid\n1\n", "line 3: the header lacks the column name .all its columns"),
        ("id,,note\n1,a,x\n", "the header lacks the column name .*number 2"),
        ("id,name,NAME\n1,a,b\n", "the column name occurs 2 times"),
        ('id,name,"note\n1,a,b\n', "the header has none of the columns"),
        ("id,na\x00me\n1,a\n", "line 1: the header contains a NUL"),
        ("id,name\rx,y\n1,a\n", "line 1: the header contains a carriage return"),
        (f"id,name\n1\n2,{CELL},b\n", r"line 2: .*too_few_fields.*no row of the file is valid"),
        (f"id,name\n1,{CELL},\n2,b,\n", r"line 2: .*too_many_fields"),
        ("id,name\r1,a\r2,b\n3,c\n", "line 1: the header contains a carriage return"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(parse: Parse, text: str, message: str) -> None:
    with pytest.raises(FileFaultError, match=f"^games/a.csv.*{message}") as raised:
        parse("games/a.csv", text)
    assert CELL not in str(raised.value)


def test_lines_that_end_with_lf_behind_lines_that_end_with_cr_are_a_fault(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 10)
    with pytest.raises(FileFaultError, match=r"^games/a.csv, line 4: .* CR alone"):
        parse("games/a.csv", "id,name\r1,a\r2,b\r3,c\n4,d\n")


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_many_blank_lines_are_skipped_in_bounded_time(parse: Parse, line: str) -> None:
    started = time.monotonic()
    count = 300_000
    blank = f"{line}\n" * count
    written = parse("games/a.csv", f"{blank}{HEADER}1,a,x\n{blank}2,b,y\n")
    assert written.good == [(count + 2, ("1", "a", "x")), (2 * count + 3, ("2", "b", "y"))]
    assert time.monotonic() - started < 60


def test_long_values_are_read(parse: Parse) -> None:
    """Python's csv module refuses fields of more than 131,072 characters."""
    value = "é" * 300_000
    text = f'id,name,other\n1,a,{value}\n2,b,"{value}"\n3,c,"a\n{value}"\n'
    found = parse("games/a.csv", text)
    assert found.values == [("1", "a", None), ("2", "b", None), ("3", "c", None)]
    assert parse("games/a.csv", f"id,name\n1,{value}\n2,b\n").reasons == [(2, "text_too_long")]
