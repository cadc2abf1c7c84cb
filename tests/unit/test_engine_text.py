"""No value of a file or table remains in an error message that an alert or a result carries.

The errors are real ones, which DuckDB and dbt raise for hostile values. The stand-in's errors
are in `tests/redshift_standin/test_standin_error_values.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from include.engine_text import MASKED, PUNCTUATION, WORDS, without_values
from include.remedies import remedy
from tests.support.hostile_values import SECRETS, VALUES, remains
from tests.support.warehouse_messages import MESSAGES

Provoke = Callable[[duckdb.DuckDBPyConnection, Path, str], object]


def _query(sql: str) -> Provoke:
    return lambda connection, _, value: connection.execute(sql, [value]).fetchall()


def _twice(connection: duckdb.DuckDBPyConnection, _: Path, value: str) -> None:
    connection.execute("create or replace table players (player_id varchar primary key)")
    for _attempt in range(2):
        connection.execute("insert into players values (?)", [value])


def _refused_by_a_check(connection: duckdb.DuckDBPyConnection, _: Path, value: str) -> None:
    connection.execute("create or replace table bets (stake varchar check (stake = ''))")
    connection.execute("insert into bets values (?)", [value])


def _csv(connection: duckdb.DuckDBPyConnection, folder: Path, value: str) -> None:
    escaped = value.replace('"', '""')
    (folder / "bets.csv").write_text(f'stake,player\n1,a\n"{escaped}","{escaped}"\n')
    reader = "header=true, columns={'stake': 'int', 'player': 'varchar'}"
    connection.execute(f"select * from read_csv('{folder}/bets.csv', {reader})").fetchall()


def _short_csv(connection: duckdb.DuckDBPyConnection, folder: Path, value: str) -> None:
    (folder / "bets.csv").write_text(f"stake,player\n{value}\n{value},{value},{value}\n")
    reader = "header=true, auto_detect=false, columns={'stake': 'int', 'player': 'varchar'}"
    connection.execute(f"select * from read_csv('{folder}/bets.csv', {reader})").fetchall()


def _json(connection: duckdb.DuckDBPyConnection, folder: Path, value: str) -> None:
    (folder / "bets.json").write_text('{"stake": 1}\n{"stake": ' + value + "}\n")
    reader = f"read_json('{folder}/bets.json', columns={{'stake': 'int'}})"
    connection.execute(f"select * from {reader}").fetchall()


def _parquet(connection: duckdb.DuckDBPyConnection, folder: Path, value: str) -> None:
    connection.execute("create or replace table source as select ? as stake", [value])
    connection.execute(f"copy source to '{folder}/bets.parquet'")
    connection.execute(f"select cast(stake as int) from '{folder}/bets.parquet'").fetchall()


def _broken_parquet(connection: duckdb.DuckDBPyConnection, folder: Path, value: str) -> None:
    (folder / "bets.parquet").write_bytes(value.encode() * 20)
    connection.execute(f"select * from '{folder}/bets.parquet'").fetchall()


PROVOKED: dict[str, Provoke] = {
    **{
        f"cast to {kind}": _query(f"select cast(? as {kind})")
        for kind in (
            *("integer", "double", "decimal(5, 2)", "date", "timestamp", "time", "interval"),
            *("uuid", "boolean", "json", "integer[]", "enum('a')"),
        )
    },
    "path of JSON": _query("select json_extract(?, '$.a')"),
    "date format": _query("select strptime(?, '%Y-%m-%d')"),
    "regular expression": _query("select regexp_matches('a', '(' || ?)"),
    "error of a model": _query("select error(?)"),
    "date part": _query("select date_trunc(?, current_date)"),
    "key": _twice,
    "check": _refused_by_a_check,
    "CSV": _csv,
    "CSV with other columns": _short_csv,
    "JSON": _json,
    "Parquet": _parquet,
    "broken Parquet": _broken_parquet,
}


@pytest.mark.parametrize("kind", PROVOKED)
def test_no_value_remains_in_an_error_of_duckdb(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    connection = duckdb.connect()
    quoted: list[str] = []

    @settings(max_examples=60, deadline=None)
    @given(VALUES)
    def holds(value: str) -> None:
        try:
            PROVOKED[kind](connection, folder, value)
        except UnicodeDecodeError:
            # DuckDB cuts some texts inside a character, and Python then cannot read its error.
            return
        except duckdb.Error as error:
            text = str(error)
        else:
            return
        quoted.extend(remains(text, value))
        masked = without_values(text, shown="select cast(stake as int) from bets", lake=str(folder))
        assert not remains(masked, value), (masked, text)
        # The kind of the error, which comes first, is not lost.
        assert masked.split(":")[0] == text.split(":", maxsplit=1)[0]

    holds()
    # The kinds without a quoted value are those whose error names no value.
    assert quoted or kind in {"check", "JSON", "broken Parquet", "path of JSON"}


@pytest.mark.parametrize(
    "template",
    [
        'invalid input syntax for type integer: "{}"',
        'duplicate key value violates unique constraint "k" DETAIL: Key (player_id)=({}) exists.',
        'new row for relation "bets" violates check "c" DETAIL: Failing row contains ({}, null).',
        'value "{}" is out of range for type integer',
        "Invalid digit, Value '{}', Pos 0, Type: Integer",
        "Spectrum Scan Error: Parsed manifest, {} is not valid JSON",
        "Error: Load into table 'bets' failed. Check 'stl_load_errors' for {}",
        "ValueError: invalid literal for int() with base 10: {!r}",
        "KeyError: {!r}",
        "Database Error in model fct_bets (models/fct_bets.sql)\n  Error: {}\n  compiled code",
    ],
)
@given(value=VALUES)
def test_no_value_remains_in_an_error_of_redshift_and_of_python(template: str, value: str) -> None:
    assert not remains(without_values(template.format(value)), value)


@given(st.text())
def test_only_known_words_and_characters_remain_of_any_text(text: str) -> None:
    masked = without_values(text, shown="player_id")
    rest = re.sub(r"(?i)\b(line|row)[ .,:;]*\d+|^Got \d+ .*", "", masked.replace(MASKED, " "))
    words = {word.lower() for word in re.findall(r"[^\W_]+", rest)}
    assert words <= WORDS | {"player", "id"}
    assert set(re.sub(r"\w", "", rest)) <= PUNCTUATION


def test_what_on_call_needs_remains() -> None:
    shown = "select stake, player_id from marts.fct_bets"
    for text, wanted in {
        "Got 3 results, configured to fail if != 0": "Got 3 results, configured to fail if != 0",
        "Conversion Error: Could not convert string 'O'Hara' to INT32": (
            "Conversion Error: Could not convert string '***' to INT32"
        ),
        'column "stake" does not exist in marts.fct_bets': (
            'column "stake" does not exist in marts.fct_bets'
        ),
        "Invalid Input Error: CSV Error on Line: 3\nOriginal Line: a,b": (
            "Invalid Input Error: CSV Error on Line: 3\nOriginal Line ***"
        ),
        "IO Error: No magic bytes found at end of file 's3://elsewhere/games/2026-09.parquet'": (
            "IO Error: No magic bytes found at end of file 's3://***.parquet'"
        ),
        "IO Error: No magic bytes found at end of file 's3://l/lake/games/2026-09.parquet'": (
            "IO Error: No magic bytes found at end of file 's3://l/lake/games/2026-09.parquet'"
        ),
    }.items():
        assert without_values(text, shown=shown, lake="s3://l/lake") == wanted


@pytest.mark.parametrize("message", [text for text, _ in MESSAGES if "1023\n" not in text])
def test_a_masked_message_has_the_same_remedy(message: str) -> None:
    """The state machine decides by the masked text whether a later try may succeed."""
    assert remedy(without_values(message)) == remedy(message)


def test_no_word_is_a_name_of_a_person() -> None:
    assert not WORDS & {name.lower() for name in SECRETS}
