"""A run over broken files of the ledger and of costs is red and names the file, or loses no row.

Each test builds a lake of its own, with broken files in every way of `ledger_breakages.py`. A file
that may be refused is added alone to a lake that was built before. All other broken files are built
together. `LEDGER_EXAMPLES=2000` breaks 2,000 files instead of 200.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

import duckdb

from include.lake.ledger_rows import text_lines
from tests.support.broken_lake import (
    EURO_RATES,
    FIRST_DAY,
    GAMES,
    PROVIDERS,
    QUERIES,
    SOURCES,
    TRANSACTIONS,
    WHOLE_DAY,
    Entry,
    Source,
    Truth,
    generate,
    without,
)
from tests.support.hand_lake import LEDGER_COLUMNS
from tests.support.ledger_breakages import BREAKAGES, CSV, JSON, PARQUET, Broken, LedgerFile
from tests.support.warehouse import WITHOUT_TESTS, WITHOUT_UNIT_TESTS, Warehouse

EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "200"))
FILES_PER_LAKE = 200
LARGEST_SHARE = 0.01
BUILD = (
    *(*WITHOUT_UNIT_TESTS, "--vars", "{largest_quarantined_share: 1}"),
    *("--select", "source:ledger+", "source:marketing+"),
)
MAY_BE_REFUSED = {
    *("damaged_gzip", "damaged_parquet_footer", "damaged_parquet_page", "nul_character"),
    *("other_delimiter_below_the_header", "wrong_excel_delimiter_line"),
}
"""The breakages that a run may refuse, or after which it may read the file."""

QUOTES = {"unclosed_quote", "malformed_quote"}
REASONS: dict[str, set[str]] = {
    "short_row": {"too_few_fields"},
    "long_row": {"too_many_fields"},
    "unquoted_delimiter": {"too_many_fields"},
    "unclosed_quote": QUOTES,
    "unopened_quote": QUOTES,
    "quote_in_the_middle": QUOTES,
    "cut_last_line": {"too_few_fields", *QUOTES},
    "total_footer": {"too_few_fields", "too_many_fields"},
    "row_count_footer": {"too_few_fields"},
    "repeated_header": {"repeated_header"},
    "nul_character": {"nul_character", "not_json"},
    "carriage_return_in_a_row": {"mixed_line_ends"},
    "rows_joined_by_carriage_return": {"mixed_line_ends"},
    "half_a_line": {"not_json"},
    "piece_missing_from_a_line": {"not_json"},
    "json_scalars": {"not_an_object"},
    "json_constant": {"not_json"},
    "key_twice": {"key_occurs_twice"},
}
"""The reasons with which the bad lines of each breakage may be listed."""


@dataclass(frozen=True)
class Example:
    """A file that a breakage broke, and its name in the lake."""

    breakage: str
    source: Source
    file: LedgerFile
    broken: Broken
    name: str

    @property
    def may_be_refused(self) -> bool:
        return self.broken.must_be_refused or self.breakage in MAY_BE_REFUSED

    def write(self, lake: Path) -> Path:
        return write(lake, self.name, self.broken.content)


def write(lake: Path, name: str, content: bytes) -> Path:
    path = lake / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def combinations() -> list[tuple[str, str, bool]]:
    """Each breakage with each format that it can break, plain and compressed."""
    return [
        (name, file_format, is_zipped)
        for name, breakage in sorted(BREAKAGES.items())
        for file_format in breakage.formats
        for is_zipped in ((False, True) if file_format != PARQUET else (False,))
        if is_zipped or not breakage.needs_zip
    ]


def examples(rng: random.Random, first: int, count: int) -> Iterator[Example]:
    """Broken files, which go through all combinations from this one on."""
    ways = combinations()
    for number in range(first, first + count):
        breakage, file_format, is_zipped = ways[number % len(ways)]
        key = f"{number - first}"
        # Some files arrive in a day that was built before, or in a day with another broken file.
        day = rng.choice((WHOLE_DAY, *[FIRST_DAY + timedelta((number - first) // 2)] * 9))
        name = rng.choice((TRANSACTIONS, TRANSACTIONS, *SOURCES))
        rows = generate(rng.randrange(2**32), name, key, day, rng.choice((3, 8, 30, 150)))
        if name == "marketing_spend" and breakage in {
            *("missing_column", "renamed_column", "empty_name_in_header")
        }:
            # A file may lack this column.
            rows = without(rows, "campaign_id")
        file = LedgerFile(
            file_format,
            rows.columns,
            tuple(entry.values for entry in rows.entries),
            delimiter=rng.choice(",;\t|"),
            line_end=rng.choice(("\n", "\r\n")),
            quotes_all=rng.random() < 0.3,
            is_zipped=is_zipped,
        )
        broken = BREAKAGES[breakage].apply(file, rng)
        stem = rng.choice(("part", "part [1]", "part*", "Teil ä", "a?b")) + f" {key}"
        folder = f"{name}/date={rows.day}" if rows.day else name
        yield Example(breakage, rows, file, broken, f"{folder}/{stem}{broken.ending}")


def whole(truth: Truth, lake: Path, rows: Source, file_format: str) -> None:
    """Write a file that is not broken."""
    file = LedgerFile(file_format, rows.columns, tuple(entry.values for entry in rows.entries))
    folder = f"{rows.name}/date={rows.day}" if rows.day else rows.name
    name = f"{folder}/whole {rows.key}{file.ending}"
    write(lake, name, file.content)
    truth.add(rows, name, file, Broken(file.content, file.ending, file.rows))


def valid_rows(name: str, rows: Sequence[tuple[str, ...]], key: str) -> Source:
    """A source without partitions with these rows, all of which are valid."""
    return Source(name, key, None, LEDGER_COLUMNS[name], tuple(Entry(row, row) for row in rows))


def write_base(truth: Truth, lake: Path, rng: random.Random) -> None:
    """Write a whole file of each source, and the rates of all days that the bets need."""
    for number, name in enumerate(SOURCES):
        rows = generate(rng.randrange(2**32), name, f"base{number}", WHOLE_DAY, 40)
        whole(truth, lake, rows, (CSV, JSON, PARQUET)[number % 3])
    games = [(f"g{n}", f"Game {n}", f"v{n % (PROVIDERS + 1)}") for n in range(GAMES)]
    whole(truth, lake, valid_rows("games", games, "played"), CSV)
    providers = [(f"v{n}", f"Maker {n}") for n in range(PROVIDERS)]
    whole(truth, lake, valid_rows("game_providers", providers, "played"), CSV)
    days = [FIRST_DAY + timedelta(n) for n in range(-20, FILES_PER_LAKE)]
    rates = [f"{day},{name},{rate}\n" for day in days for name, rate in EURO_RATES.items()]
    text = "date,currency,baserateeuro\n" + "".join(rates)
    write(lake, "currency_exchange/all.csv", text.encode())
    truth.delivered["currency_exchange", None] += len(rates)


def write_games(truth: Truth, lake: Path, sources: Sequence[Source]) -> None:
    """Write a game for each provider and category, so that `dim_games` shows all of them."""
    games = []
    for source in sources:
        keys = [str(entry.effect[0]) for entry in source.entries if not entry.fault]
        if source.name == "game_providers":
            games += [(f"of {key}", f"game of {key}", key) for key in keys]
        elif source.name == "game_categories":
            games += [(key, f"game {key}", "v0") for key in keys]
    if games:
        whole(truth, lake, valid_rows("games", games, "all"), JSON)


def state(warehouse: Warehouse) -> list[object]:
    """What a refused run must not change: tables, views, and the parsed rows in the lake."""
    with duckdb.connect(str(warehouse.settings.duckdb_path), read_only=True) as database:
        relations = database.execute(
            "select table_schema || '.' || table_name, table_type from information_schema.tables "
            "where table_catalog = current_database() order by 1"
        ).fetchall()
        tables = [name for name, kind in relations if kind == "BASE TABLE"]
        views = database.execute("select view_name, sql from duckdb_views() order by all")
        content: list[object] = [relations, views.fetchall()]
        content += [
            database.execute(
                f"select count(*), bit_xor(hash(found)), sum(hash(found)) from {name} as found"
            ).fetchall()
            for name in tables
        ]
    parsed = sorted((warehouse.lake / "ledger_rows").rglob("*"))
    return [*content, *((path, path.stat().st_mtime_ns, path.stat().st_size) for path in parsed)]


def assert_refused(warehouse: Warehouse, example: Example, before: list[object]) -> bool:
    """Run the step `partitions` with a broken file; returns whether it refused the file."""
    path = example.write(warehouse.lake)
    code, errors = warehouse.partitions()
    if not code:
        assert not example.broken.must_be_refused, f"{example.name} was not refused"
        return False
    assert Path(example.name).name in errors, f"{example.name} is not named: {errors}"
    values = {value for row in example.file.rows for value in row if value and len(value) > 4}
    shown = [value for value in values if value in errors.replace(example.name, "")]
    assert not shown, f"an alert would carry {shown} of a file: {errors}"
    assert state(warehouse) == before, f"{example.name} was refused, and something changed"
    path.unlink()
    return True


def check_marts(warehouse: Warehouse, truth: Truth, breakages: Mapping[str, str]) -> None:
    """Compare the marts with the truth; `breakages` are those of the broken files, by name."""
    for table, expected in truth.tables().items():
        found = Counter(tuple(row.values()) for row in warehouse.query(QUERIES[table]))
        assert_equal(table, found, expected, {})
    listed: Counter[tuple[Any, ...]] = Counter()
    for row in warehouse.rows("marts.fct_quarantined_rows"):
        *place, reason, payload = row.values()
        breakage = breakages.get(str(row["source_file"]), "")
        is_unreadable = reason in REASONS.get(breakage, ())
        listed[(*place, "unreadable" if is_unreadable else reason)] += 1
        assert 0 < len(str(payload)) <= 1000
        # Nobody knows which part of an unreadable row is personal.
        assert not (is_unreadable and re.search("[a-wyzA-Z0-8]", str(payload))), payload
    assert_equal("fct_quarantined_rows", listed, truth.quarantined, breakages)


def assert_equal(
    table: str,
    found: Counter[tuple[Any, ...]],
    expected: Counter[tuple[Any, ...]],
    breakages: Mapping[str, str],
) -> None:
    """Compare the rows of a table; the message names the breakage of each file."""
    missing, more = (
        [(*row, *(breakages[value] for value in row if value in breakages)) for row in rows]
        for rows in (expected - found, found - expected)
    )
    assert not missing and not more, f"{table}: missing {missing[:5]}, too much {more[:5]}"


def check_share(warehouse: Warehouse, truth: Truth, days: set[date | None]) -> None:
    """With the default of `largest_quarantined_share` the run is red, and names source and day.

    `days` are those of the last run. Rows of sources without partitions have no day.
    """
    bad: Counter[tuple[str, date | None]] = Counter()
    for (source, day, *_), count in truth.quarantined.items():
        bad[source, day] += count
    expected = {
        place: (count, truth.delivered[place])
        for place, count in bad.items()
        if place[1] in {None, *days} and count > LARGEST_SHARE * truth.delivered[place]
    }
    assert expected
    found = warehouse.failing_rows("assert_few_rows_are_quarantined")
    assert {
        (row["source_name"], row["partition_day"]): (row["quarantined_count"], row["row_count"])
        for row in found
    } == expected


LAKES = -(-EXAMPLES // FILES_PER_LAKE)


@pytest.mark.parametrize("seed", range(LAKES))
def test_a_run_with_broken_files_is_red_or_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - reproducible
    # The parser reads a file in blocks. With small ones, each file has several of them.
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", rng.choice((50, text_lines.BLOCK_BYTES)))
    truth = Truth()
    lake = tmp_path / "lake"
    write_base(truth, lake, rng)
    warehouse = Warehouse(lake, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    check_marts(warehouse, truth, {})
    first = seed * FILES_PER_LAKE
    broken = list(examples(rng, first, min(FILES_PER_LAKE, EXAMPLES - first)))
    before = state(warehouse)
    read = []
    for example in broken:
        if not example.may_be_refused:
            read.append(example)
        elif not assert_refused(warehouse, example, before):
            read.append(example)
            before = state(warehouse)
    write_games(truth, lake, [example.source for example in broken])
    for example in read:
        example.write(lake)
        truth.add(example.source, example.name, example.file, example.broken)
    code, errors = warehouse.partitions()
    assert not code, errors
    failed = warehouse.dbt(*BUILD)
    assert not failed, failed
    warehouse.record()
    check_marts(warehouse, truth, {example.name: example.breakage for example in read})
    check_share(warehouse, truth, {example.source.day for example in read})
    print(
        f"{len(broken)} broken files: {len(broken) - len(read)} refused, {len(read)} read; "
        f"{truth.delivered.total()} rows, {truth.quarantined.total()} quarantined"
    )
