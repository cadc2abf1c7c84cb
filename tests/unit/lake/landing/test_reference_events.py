"""Landing of reference data, which is not part of the checkout."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.lake.landing.landing import land_files
from include.settings import ROOT
from tests.unit.lake.landing.event_lake import ARRIVED, rows

DATA = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not beside the checkout")
@pytest.mark.parametrize("name", ["bad_lines_bytes", "bad_lines_utf8"])
def test_bad_lines_are_rejected_and_good_lines_keep_their_content(lake: Path, name: str) -> None:
    manifest = json.loads((DATA / f"{name}.manifest.json").read_text())
    (done,) = land_files(lake, [str(DATA / f"{name}.jsonl")], ARRIVED)
    assert done.lines == manifest["lines"] == done.landed + done.rejected
    assert done.landed == manifest["parseable_objects_with_event_key"]
    categories = manifest["line_categories"]
    lines = (DATA / f"{name}.jsonl").read_bytes().split(b"\n")
    rejected = rows(lake, "rejected_events")
    rejected_numbers = {row[3] for row in rejected}
    assert {row[3]: row[1] for row in rejected} == {n: lines[n - 1] for n in rejected_numbers}
    landed = Counter(
        category.split(":")[0]
        for number, category in enumerate(categories, start=1)
        if number not in rejected_numbers
    )
    assert landed == {"good": 1_000, "exact_duplicate": 50, "semantic": 48}
    kept = Counter(row[9] for row in rows(lake))
    sent: Counter[str | None] = Counter()
    for number, one in enumerate(lines[: len(categories)], start=1):
        if number not in rejected_numbers:
            data = json.loads(one)["event"]["event_data"]
            sent[None if data is None else json.dumps(data, sort_keys=True)] += 1
    assert sent == Counter(
        {
            (None if data is None else json.dumps(json.loads(data), sort_keys=True)): count
            for data, count in kept.items()
        }
    )
    files = f"{lake}/raw_events/**/*.parquet"
    invalid = duckdb.execute(
        "select count(*) from read_parquet(?, hive_partitioning = false)"
        " where not json_valid(event_data) or not json_valid(metadata)",
        [files],
    ).fetchone()
    assert invalid == (0,)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not beside the checkout")
def test_every_event_of_the_workshop_is_landed(lake: Path) -> None:
    reference = json.loads((DATA / "ggap_workshop.ref.json").read_text())
    (done,) = land_files(lake, [str(DATA / "ggap_workshop.jsonl.gz")], ARRIVED)
    assert (done.landed, done.rejected) == (reference["events"], 0)
    types = duckdb.execute(
        "select event_type, count(*), count(*) filter (not json_valid(event_data))"
        " from read_parquet(?, hive_partitioning = false) group by 1",
        [f"{lake}/raw_events/**/*.parquet"],
    ).fetchall()
    assert {name: count for name, count, _ in types} == reference["event_types"]
    assert {invalid for *_, invalid in types} == {0}
