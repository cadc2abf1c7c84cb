"""Lines by day keep their order, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.sample.day_lines import DayLines


@pytest.mark.parametrize("held_bytes", [1, 40, 1_000_000])
def test_each_day_has_its_lines_in_the_order_of_their_adding(
    tmp_path: Path, held_bytes: int
) -> None:
    lines = DayLines(range(3), folder=tmp_path, held_bytes=held_bytes)
    added: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    for number in range(100):
        line = b"" if number % 7 == 0 else f"line {number}".encode()
        lines.add(number % 2, line)
        added[number % 2].append(line)
    assert {day: lines.read(day) for day in added} == added


def test_the_memory_is_bounded_and_no_file_is_left(tmp_path: Path) -> None:
    lines = DayLines(range(2), folder=tmp_path, held_bytes=1000)
    for number in range(10_000):
        lines.add(number % 2, b"x" * 50)
        assert sum(len(line) for day in lines._lines.values() for line in day) < 1000
    assert list(tmp_path.iterdir()) == []
