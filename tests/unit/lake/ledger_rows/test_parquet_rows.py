"""Parquet files become text, mostly as the view on DuckDB reads them; lines are row numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.external_tables.duckdb import typed
from include.lake.ledger_rows.rows import FileFaultError
from include.warehouse.duckdb_file import DuckDB
from tests.unit.lake.ledger_rows.parsed_file import Parse

CELL = "Secret7"


def parquet(folder: Path, query: str, options: str = "") -> bytes:
    """The bytes of a Parquet file with the rows of a query."""
    path = folder / "source.parquet"
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"copy ({query}) to '{path}' (format parquet {options})")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'a'", "a"),
        ("''", ""),
        ("null", None),
        ("1.5::double", "1.5"),
        ("1e38::double", "1e+38"),
        ("5e-324::double", "5e-324"),
        ("'NaN'::double", "nan"),
        ("'-Infinity'::double", "-inf"),
        ("0.1::float", "0.1"),
        ("12345678901234567890123.4500::decimal(38, 4)", "12345678901234567890123.4500"),
        ("7::bigint", "7"),
        ("1.50::decimal(9, 2)", "1.50"),
        ("18446744073709551615::ubigint", "18446744073709551615"),
        ("-3::tinyint", "-3"),
        ("true", "true"),
        ("date '2026-11-20'", "2026-11-20"),
        ("time '10:11:12'", "10:11:12"),
        ("timestamp '2026-11-20 10:11:12.5'", "2026-11-20 10:11:12.5"),
        ("timestamptz '2026-11-20 10:11:12+00'", "2026-11-20 10:11:12+00"),
        ("'a\\xC3\\xA9'::blob", "aé"),
        ("[1, 2]", "[1,2]"),
        ("{'a': 1.5, 'b': 'é'}", '{"a":1.5,"b":"é"}'),
        ("map {'k': 1}", '{"k":1}'),
        ("'5e6e3d0c-1c2b-4c57-8d4a-6f1f3e0b9a11'::uuid", "5e6e3d0c-1c2b-4c57-8d4a-6f1f3e0b9a11"),
        ("'{\"a\": 1}'::json", '{"a": 1}'),
        ("'x'::enum('x', 'y')", "x"),
    ],
)
def test_each_type_has_the_text_of_the_view_on_duckdb(
    parse: Parse, tmp_path: Path, value: str, text: str | None
) -> None:
    content = parquet(tmp_path, f"select 'a' as \"NAME\", 5 as more, {value} as id")
    assert parse("games/a.parquet", content).good == [(1, (text, "a", None))]
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        reader = f"read_parquet(['{tmp_path}/source.parquet'])"
        view = typed(DuckDB(connection), {"id": "varchar"}, reader)
        assert connection.execute(view).fetchall() == [(text,)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12345::double", "12345"),
        ("12345::float", "12345"),
        ("12345::decimal(18, 4)", "12345"),
        ("-100::decimal(5, 0)", "-100"),
        ("12345678901234567890123.0000::decimal(38, 4)", "12345678901234567890123"),
        ("9007199254740993::double", "9007199254740992"),
        ("1e17::double", "100000000000000000"),
        ("1e23::double", "1" + "0" * 23),
        ("1e37::double", "1" + "0" * 37),
        ("1e10::float", "10000000000"),
        ("-0.0::double", "0"),
        ("0::decimal(4, 2)", "0"),
    ],
)
def test_a_number_that_is_an_integer_has_its_text(
    parse: Parse, tmp_path: Path, value: str, text: str
) -> None:
    """Pandas writes the ids of a column with a missing value as floating numbers."""
    content = parquet(tmp_path, f"select 'a' as name, {value} as \"Id\"")
    assert parse("games/a.parquet", content).values == [(text, "a", None)]


def test_a_row_with_bytes_that_are_not_utf_8_is_bad(parse: Parse, tmp_path: Path) -> None:
    query = (
        "select unnest(['Espa\\xC3\\xB1a'::blob, 'Espa\\xF1a'::blob, null]) as id, 'n' as name, "
        "'b\\x00'::blob as more"
    )
    written = parse("games/a.parquet", parquet(tmp_path, query))
    assert written.good == [(1, ("España", "n", None)), (3, (None, "n", None))]
    assert written.bad == [(2, "not_utf8", '{"id": "Espa\\\\xF1a", "name": "n", "note": null}')]


def test_the_line_is_the_number_of_the_row(parse: Parse, tmp_path: Path) -> None:
    rows = "select range as id, 'a' as name from range(120000)"
    content = parquet(tmp_path, rows, ", row_group_size 20000")
    written = parse("games/a.PARQUET", content)
    assert written.good == [(n + 1, (str(n), "a", None)) for n in range(120_000)]


def test_a_file_without_rows_has_no_rows(parse: Parse, tmp_path: Path) -> None:
    written = parse("games/a.parquet", parquet(tmp_path, "select 1 as id, 2 as name where false"))
    assert not written.good
    assert not written.bad


def test_a_row_with_a_nul_character_is_bad(parse: Parse, tmp_path: Path) -> None:
    rows = "select unnest(['a', 'b' || chr(0), 'c']) as id, 'n' as name"
    written = parse("games/a.parquet", parquet(tmp_path, rows))
    assert written.good == [(1, ("a", "n", None)), (3, ("c", "n", None))]
    text = '{"id": "b\\u0000", "name": "n", "note": null}'
    assert written.bad == [(2, "nul_character", text)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (f"select '{CELL}' as id", "lacks the column name: .*optional: true"),
        (f"select '{CELL}' as id, 1 as nam", "lacks the column name: .*optional: true"),
        ("select 1 as id, 2 as name, 7 as File_Row_Number", "has a column file_row_number, a name"),
        (f"select '{CELL}' || chr(0) as id, 1 as name", "line 1: .*nul_character"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    parse: Parse, tmp_path: Path, query: str, message: str
) -> None:
    with pytest.raises(FileFaultError, match=f"^games/a.parquet.*{message}") as raised:
        parse("games/a.parquet", parquet(tmp_path, query))
    assert CELL not in str(raised.value)


def _two_columns() -> pa.Table:
    values = pa.array([f"{CELL} {number}" for number in range(1000)])
    return pa.table({"id": values, "name": values})


def _written(path: Path, table: pa.Table) -> bytes:
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    return path.read_bytes()


def test_a_column_that_occurs_twice_is_a_fault(parse: Parse, tmp_path: Path) -> None:
    table = _two_columns()
    content = _written(tmp_path / "a", table.append_column("Name", table["id"]))
    with pytest.raises(FileFaultError, match=r"^games/a.parquet: the column name occurs 2 times"):
        parse("games/a.parquet", content)
    # A column that is not declared may occur twice.
    content = _written(
        tmp_path / "b", table.append_column("x", table["id"]).append_column("X", table["id"])
    )
    assert len(parse("games/a.parquet", content).good) == 1000


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda content: content[:4],
        lambda content: content[:-1],
        lambda content: content[:-4] + b"PARE",
        lambda content: content[: len(content) // 2],
        lambda content: content[-500:],
        lambda content: content[:-8] + b"\xff\xff\xff\x7f" + content[-4:],
        lambda content: content[:-300] + b"\xff" * 200 + content[-100:],
        lambda content: content.replace(f"{CELL} 77".encode(), f"{CELL} 78".encode(), 1),
        lambda content: content.replace(f"{CELL} 77".encode(), b"\xff" * 10, 1),
    ],
)
def test_a_damaged_file_is_refused(parse: Parse, tmp_path: Path, change: object) -> None:
    assert callable(change)
    content = change(_written(tmp_path / "a", _two_columns()))
    with pytest.raises(
        FileFaultError, match=r"^games/a.parquet (has no bytes|is damaged)"
    ) as found:
        parse("games/a.parquet", content)
    assert CELL not in str(found.value)


def test_a_text_that_is_not_utf_8_is_named(parse: Parse, tmp_path: Path) -> None:
    broken = pa.array([b"a\xe9"], pa.binary()).view(pa.string())
    content = _written(tmp_path / "a", pa.table({"id": broken, "name": ["a"]}))
    with pytest.raises(FileFaultError, match=r"^games/a.parquet has a text that is not UTF-8"):
        parse("games/a.parquet", content)
