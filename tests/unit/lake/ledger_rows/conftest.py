"""Parses files with the columns of `COLUMNS`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.lake.ledger_rows.parsed_file import COLUMNS, Parse, Written


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    """Parse one file of this name and content; the columns are those of `COLUMNS`."""
    pytest.importorskip("duckdb", reason="runs in dbt's environment")
    import pyarrow.parquet as pq

    from include.lake.ledger_rows.rows import RawFile
    from include.lake.ledger_rows.write import write_rows

    def run(name: str, content: str | bytes, columns: Mapping[str, bool] = COLUMNS) -> Written:
        path, target = tmp_path / "raw", tmp_path / "target.parquet"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        counts = write_rows([RawFile(name, path)], "games", columns, target)
        rows = [tuple(row.values()) for row in pq.read_table(target).to_pylist()]
        assert all(row[-4] == name for row in rows)
        good = sorted((row[-3], row[:-4]) for row in rows if row[-2] is None)
        bad = sorted(row[-3:] for row in rows if row[-2] is not None)
        assert (len(good), len(bad)) == (counts.good, counts.bad)
        return Written(good, bad)

    return run
