"""A broken file is refused by name, or its untouched rows are read and the others are listed.

`LEDGER_EXAMPLES=2000` tries as many files instead of 200.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow.parquet as pq
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from include.lake.ledger_rows import text_lines
from include.lake.ledger_rows.rows import RAW_LENGTH, REASONS, FileFaultError, RawFile
from include.lake.ledger_rows.write import write_rows
from tests.support.ledger_breakages import BREAKAGES, CSV, JSON, PARQUET, Broken, LedgerFile, Row

EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "200"))

SOURCES = {
    "game_transactions": (
        "realamount",
        "bonusamount",
        "channeluid",
        "txcurrency",
        "gameid",
        "txtype",
        "betid",
        "playerid",
    ),
    "currency_exchange": ("date", "currency", "baserateeuro"),
    "game_categories": ("game_id", "game_category"),
}
ORDINARY = ("b1", "p17", "12.50", "0", "WAGER", "Lucky Seven")
# Values that are hard to read in one of the formats.
PIECES = (
    *('"', ",", ";", "\t", "|", "\n", "\r\n", "1,50", "a", " ", "é", "😀", "\\", "'", "NULL"),
    *("\u2028", "\x85", "{", "]", "#", "{}", "sep=;", '","', '\n"', ",\n"),
)
BLOCKS = (7, 50, 2 << 20)


def texts() -> st.SearchStrategy[str]:
    """Ordinary and hostile values; none is empty, because that is a null in a CSV file."""
    hostile = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
    return st.one_of(st.sampled_from(ORDINARY), st.sampled_from(ORDINARY), hostile)


@st.composite
def files(draw: st.DrawFn, formats: tuple[str, ...], *, is_zipped: bool = False) -> LedgerFile:
    """A whole file of any source and one of these formats."""
    columns = SOURCES[draw(st.sampled_from(sorted(SOURCES)))]
    # A row begins with a letter, since a line without any character is blank and no row.
    first = texts().map(lambda text: f"k{text}")
    row = st.tuples(first, *[st.none() | texts() for _ in columns[1:]])
    file_format = draw(st.sampled_from(formats))
    return LedgerFile(
        file_format,
        columns,
        tuple(draw(st.lists(row, min_size=1, max_size=8))),
        delimiter=draw(st.sampled_from(",;\t|")),
        line_end=draw(st.sampled_from(("\n", "\r\n"))),
        quotes_all=draw(st.booleans()),
        is_zipped=file_format != PARQUET and (is_zipped or draw(st.booleans())),
    )


def parsed(file: LedgerFile, broken: Broken, block_bytes: int) -> tuple[Counter[Row], list[Row]]:
    """The good rows of a file that is read in such blocks, and reason and text of its bad rows."""
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder, "raw"), Path(folder, "rows.parquet")
        path.write_bytes(broken.content)
        name = f"bets/file{broken.ending}"
        columns = dict.fromkeys(file.columns, True)
        try:
            with patch.object(text_lines, "BLOCK_BYTES", block_bytes):
                counts = write_rows([RawFile(name, path)], "bets", columns, target)
        except FileFaultError as error:
            assert name in str(error)
            assert not target.exists()
            raise
        table = pq.read_table(target).to_pylist()
    rows = [tuple(row.values()) for row in table]
    good = [row[:-4] for row in rows if row[-2] is None]
    bad = [row[-2:] for row in rows if row[-2] is not None]
    assert (len(good), len(bad)) == (counts.good, counts.bad)
    assert all(row[-4] == name and row[-3] >= 1 for row in rows)
    return Counter(good), bad


def is_ambiguous(file: LedgerFile, row: Row) -> bool:
    """Whether lines of the row look like rows, so that its quotes may be a mistake."""
    lines = file.line(row).split("\n")
    if file.format != CSV or len(lines) == 1:
        return False
    delimiters = [line.count(file.delimiter) for line in lines]
    wanted = len(file.columns) - 1
    # One more if each line of the file has a delimiter behind it.
    inside = {wanted, wanted + 1} & set(delimiters[1:-1])
    return bool(inside) or min(delimiters[0], delimiters[-1]) >= wanted


def check(file: LedgerFile, broken: Broken, block_bytes: int) -> None:
    try:
        good, bad = parsed(file, broken, block_bytes)
    except FileFaultError:
        event("refused")
        return
    event("read")
    assert not broken.must_be_refused
    rows = Counter(broken.rows)
    untouched = Counter(row for at, row in enumerate(broken.rows) if at not in broken.touched)
    assert good <= rows, "a row has another value, or is there too often"
    missing = untouched - good
    near = {row for at in broken.touched for row in file.rows[max(at - 1, 0) : at + 2]}
    assert all(
        is_ambiguous(file, row) or (row in near and "\n" in file.line(row)) for row in missing
    ), "an untouched row is missing"
    assert good.total() + len(bad) >= rows.total() + broken.added, "a row is not listed"
    for reason, text in bad:
        assert reason in REASONS
        assert text is not None
        assert 0 < len(text) <= RAW_LENGTH


def examples(count: int) -> settings:
    """So many reproducible examples."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.parametrize("name", sorted(BREAKAGES))
@examples(EXAMPLES // len(BREAKAGES) + 1)
@given(st.data())
def test_no_row_of_a_broken_file_is_lost_or_changed(name: str, data: st.DataObject) -> None:
    breakage = BREAKAGES[name]
    file = data.draw(files(breakage.formats, is_zipped=breakage.needs_zip), "file")
    rng = random.Random(data.draw(st.integers(0, 2**32), "seed"))  # noqa: S311 - reproducible
    broken = breakage.apply(file, rng)
    check(file, broken, data.draw(st.sampled_from(BLOCKS), "bytes of a block"))


@examples(EXAMPLES)
@given(files((CSV, CSV, JSON, PARQUET)), st.sampled_from(BLOCKS))
def test_every_row_of_a_whole_file_is_read_with_its_values(file: LedgerFile, block: int) -> None:
    assume(not all(is_ambiguous(file, row) for row in file.rows))
    check(file, Broken(file.content, file.ending, file.rows), block)


def test_there_are_many_kinds_of_breakages() -> None:
    assert len(BREAKAGES) >= 25
