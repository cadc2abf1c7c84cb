"""The rules of files of JSON lines: any letter case, every digit, and a bad line is one bad row."""

from __future__ import annotations

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.ledger_rows import json_lines
from include.lake.ledger_rows.rows import FileFaultError
from tests.unit.lake.ledger_rows.parsed_file import Parse, Row

CELL = "Secret7"
DEEP = "[" * 100_000
NESTED = '{"a":'


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('{"id": "1", "name": "a", "note": "x"}', ("1", "a", "x")),
        ('{"NOTE": "x", "Name": "a", "iD": "1", "more": 5}', ("1", "a", "x")),
        ('{"id": "1", "name": null}', ("1", None, None)),
        ('{"id": "", "name": " "}', ("", " ", None)),
        ('{"id": 12345, "name": 12345.0, "note": 1.2345e4}', ("12345", "12345", "12345")),
        ('{"id": 76561197980428154123.0, "name": 1E-20}', ("76561197980428154123", "1E-20", None)),
        ('{"id": 1e17, "name": 1.50, "note": -1.5E+1}', ("100000000000000000", "1.50", "-15")),
        ('{"id": -0, "name": 0.0e99999999, "note": 120e-1}', ("0", "0", "12")),
        ('{"id": 1e37, "name": 1e38, "note": 0.10}', (f"1{'0' * 37}", "1e38", "0.10")),
        (
            '{"id": 1e999999999, "name": 1e-999999, "note": 100}',
            ("1e999999999", "1e-999999", "100"),
        ),
        (
            f'{{"id": 1e{"9" * 1000}, "name": {"9" * 1000}, "note": 0.5e1}}',
            (f"1e{'9' * 1000}", "9" * 1000, "5"),
        ),
        ('{"id": true, "name": false}', ("true", "false", None)),
        (
            '{"id": {"a": [1.0, "é", null, true]}, "name": []}',
            ('{"a":[1.0,"é",null,true]}', "[]", None),
        ),
        ('{"id": {"a": 1, "a": 2}, "name": {}}', ('{"a":1,"a":2}', "{}", None)),
        ('{"id": "a\\u00e9\\ud83d\\ude00\\n\\"", "name": "b"}', ('aé😀\n"', "b", None)),
        ('{"id": "a\u2028b\x85", "name": "b"}', ("a\u2028b\x85", "b", None)),
        ('{"id": 1, "ID": 1, "name": "b"}', ("1", "b", None)),
        ('{"id": 1, "x": 1, "x": 2, "name": "b"}', ("1", "b", None)),
        ('  {"id": 1, "name": "b"}\t\r', ("1", "b", None)),
        (f'{{"id": {"[" * 100}{"]" * 100}, "name": 1}}', (f"{'[' * 100}{']' * 100}", "1", None)),
    ],
)
def test_values_become_text(parse: Parse, line: str, row: Row) -> None:
    written = parse("games/a.json", f"\ufeff{line}\n")
    assert written.values == [row]
    assert not written.bad


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ('{"id": "2", "name": "b"', [(2, "not_json")]),
        ('{"id": "2", "na', [(2, "not_json")]),
        ('{"id": "2" "name": "b"}', [(2, "not_json")]),
        ("{'id': '2', 'name': 'b'}", [(2, "not_json")]),
        ('{"id": NaN, "name": "b"}', [(2, "not_json")]),
        ('{"id": 2, "name": "b", "more": [-Infinity]}', [(2, "not_json")]),
        ('{"id": 02, "name": "b"}', [(2, "not_json")]),
        ('{"id": "2\x01", "name": "b"}', [(2, "not_json")]),
        ('{"id": "2\x00", "name": "b"}', [(2, "not_json")]),
        ('{"id": "2", "name": "b",}', [(2, "not_json")]),
        ("null", [(2, "not_an_object")]),
        ("5", [(2, "not_an_object")]),
        ('"text"', [(2, "not_an_object")]),
        ('[{"id": "2", "name": "b"}]', [(2, "not_an_object")]),
        (f'{{"id": {DEEP}', [(2, "nested_too_deeply")]),
        (f'{{"id": {NESTED * 400}1{"}" * 400}, "name": "b"}}', [(2, "nested_too_deeply")]),
        (f'{{"id": {"[" * 101}{"]" * 101}, "name": "b"}}', [(2, "nested_too_deeply")]),
        (f'{{"id": 1, "ID": {NESTED * 400}1{"}" * 400}}}', [(2, "nested_too_deeply")]),
        ('{"iD": "2", "na_me": "b"}', [(2, "missing_key")]),
        ('{"id": "2", "ID": "3", "name": "b"}', [(2, "key_occurs_twice")]),
        ('{"id": "2", "name": "b", "name": null}', [(2, "key_occurs_twice")]),
        ('{"id": "2\\u0000", "name": "b"}', [(2, "nul_character")]),
        ('{"id": "2\\ud83d", "name": "b"}', [(2, "invalid_unicode")]),
        ('{"id": "2", "name": "b"}, {"id": "3", "name": "c"}', [(2, "not_json")]),
        ('{"id": "2", "name": "b"} x', [(2, "not_json")]),
        ('x {"id": "2", "name": "b"}', [(2, "not_json")]),
    ],
)
def test_a_bad_line_changes_no_other(parse: Parse, line: str, bad: list[tuple[int, str]]) -> None:
    first, last = '{"id": 1, "name": "a"}', '{"id": 9, "name": "z"}'
    written = parse("games/a.ndjson", f"{first}\n{line}\n\n{last}")
    assert written.good == [(1, ("1", "a", None)), (4, ("9", "z", None))]
    assert written.reasons == bad
    assert written.bad[0][2] == line[:1000].replace("\x00", "\ufffd")


def test_each_object_of_a_line_is_a_row(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "ROWS_AT_ONCE", 2)
    objects = [f'{{"id": {number}, "name": "a"}}' for number in range(5)]
    text = f'{"".join(objects)}\n{" ".join(objects)} {{"id": 5, "na\n'
    written = parse("games/a.jsonl", text)
    assert [line for line, _ in written.good] == [1] * 5 + [2] * 5
    assert {row[0] for row in written.values} == set("01234")
    assert written.bad == [(2, "not_json", '{"id": 5, "na')]


def test_a_line_of_many_objects_is_read_in_bounded_time(parse: Parse) -> None:
    # Firehose writes up to 128 MB without a line end.
    written = parse("games/a.jsonl", '{"id": 1, "name": "a"}' * 200_000)
    assert len(written.good) == 200_000


def test_an_object_with_unknown_text_behind_it_is_bad_and_those_before_it_are_good(
    parse: Parse,
) -> None:
    line = '{"id": 1, "name": "a"}{"id": 2, "name": "b"}"c": 3}'
    written = parse("games/a.jsonl", line)
    assert written.values == [("1", "a", None)]
    assert written.bad == [(1, "not_json", '{"id": 2, "name": "b"}"c": 3}')]


def test_a_key_that_a_row_lacks_is_null_and_one_that_all_rows_lack_is_a_fault(parse: Parse) -> None:
    rows = '{"id": 1}\n{"name": "b"}\n{}\n'
    written = parse("games/a.jsonl", rows)
    assert written.values == [("1", None, None), (None, "b", None), (None, None, None)]
    for others in ('{"id": 2}\n', ""):
        with pytest.raises(
            FileFaultError, match=r"^games/a.jsonl: no row has the key name.*optional: true"
        ):
            parse("games/a.jsonl", f'{{"id": 1, "{CELL}": 2}}\n{others}')


def test_a_row_with_other_keys_than_the_rows_before_it_is_bad(parse: Parse) -> None:
    columns = {"realamount": True, "txcurrency": True, "note": False}
    renamed = '{"real_amount": "10", "tx_currency": "GBP"}'
    good = ['{"realamount": "10", "txcurrency": "GBP", "more": 1}', '{"realamount": "5"}', "{}"]
    written = parse("games/a.jsonl", "\n".join([good[0], renamed, *good[1:]]), columns)
    assert written.values == [("10", "GBP", None), ("5", None, None), (None, None, None)]
    assert written.bad == [(2, "missing_key", renamed)]


def test_a_row_may_lack_an_optional_key_and_have_an_undeclared_one(parse: Parse) -> None:
    written = parse("games/a.jsonl", '{"id": "1", "name": "a", "notes": "x"}\n')
    assert written.values == [("1", "a", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no bytes"),
        ("\n \n", "is blank"),
        ("\ufeff\n", "is blank"),
        ('\n[{"id": 1, "name": "a"}]', "line 2: the file begins a JSON array"),
        ('[\n  {"id": 1}\n]\n', "line 1: the file begins a JSON array"),
        ('{\n  "id": 1\n}\n', "line 1: an object spans several lines"),
        (f"x {CELL}\n5\n", "line 1: .*not_json.* no row of the file is valid"),
        (f'\n"{CELL}"\n', "line 2: .*not_an_object"),
        (f'{{"id": "{CELL}", "Id": 2, "name": 1}}\n', "line 1: .*key_occurs_twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(parse: Parse, text: str, message: str) -> None:
    with pytest.raises(FileFaultError, match=f"^games/a.jsonl.*{message}") as raised:
        parse("games/a.jsonl", text)
    assert CELL not in str(raised.value)
