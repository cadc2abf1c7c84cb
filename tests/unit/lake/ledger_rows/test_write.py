"""`write_rows` writes the rows of all its files to one Parquet file, or no file."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.ledger_rows.rows import REASONS, FileFaultError, RawFile, RowCounts
from include.lake.ledger_rows.write import write_rows
from include.settings import ROOT, UserError

COLUMNS = {"id": True, "name": False}


def raw(folder: Path, name: str, content: bytes) -> RawFile:
    path = folder / name.replace("/", "_")
    path.write_bytes(content)
    return RawFile(name, path)


def test_all_files_are_written_with_the_origin_of_each_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ID": [7.5], "name": ["p"]}), tmp_path / "p")
    inputs = [
        raw(tmp_path, "games/a.csv", b"id,name\n1,a\n2\n"),
        raw(tmp_path, "games/b.TSV", b"name\tid\nb\t3\n"),
        raw(tmp_path, "games/c.jsonl.gz", gzip.compress(b'{"Id": 4}\nx\n')),
        RawFile("games/d.parquet", tmp_path / "p"),
        raw(tmp_path, "games/e.csv", b"id\n"),
    ]
    target = tmp_path / "target.parquet"
    assert write_rows(inputs, "games", COLUMNS, target) == RowCounts(
        good=4, bad=2, bad_files=["games/a.csv", "games/c.jsonl.gz"]
    )
    table = pq.read_table(target)
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string",
        "name": "string",
        "file_name": "string",
        "line_number": "int64",
        "problem": "string",
        "raw_row": "string",
    }
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        ("1", "a", "games/a.csv", 2, None, None),
        (None, None, "games/a.csv", 3, "too_few_fields", "2"),
        ("3", "b", "games/b.TSV", 2, None, None),
        ("4", None, "games/c.jsonl.gz", 1, None, None),
        (None, None, "games/c.jsonl.gz", 2, "not_json", "x"),
        ("7.5", "p", "games/d.parquet", 1, None, None),
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_value_that_a_column_cannot_hold_makes_its_row_bad(tmp_path: Path, kind: str) -> None:
    """Spectrum would cut it, and two long ids with the same beginning would be one."""
    names = ["é" * 512, "é" * 512 + "x", "short"]
    path = tmp_path / "raw"
    if kind == "parquet":
        pq.write_table(pa.table({"id": ["1", "2", "3"], "name": names}), path)
    elif kind == "csv":
        path.write_text("id,name\n" + "".join(f"{n},{name}\n" for n, name in enumerate(names, 1)))
    else:
        rows = ({"id": str(n), "name": name} for n, name in enumerate(names, 1))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    target = tmp_path / "target.parquet"
    counts = write_rows([RawFile(f"games/a.{kind}", path)], "games", COLUMNS, target)
    assert counts == RowCounts(good=2, bad=1, bad_files=[f"games/a.{kind}"])
    found = {row["id"]: row for row in pq.read_table(target).to_pylist()}
    assert {found["1"]["name"], found["3"]["name"]} == {names[0], names[2]}
    assert (found[None]["problem"], found[None]["line_number"]) == (
        "text_too_long",
        3 if kind == "csv" else 2,
    )
    assert found[None]["raw_row"].startswith('{"id": "2", "name": "ééé')


def test_files_without_rows_make_a_target_without_rows(tmp_path: Path) -> None:
    target = tmp_path / "target.parquet"
    counts = write_rows([raw(tmp_path, "games/a.csv", b"id\n")], "games", COLUMNS, target)
    assert counts == RowCounts(good=0, bad=0, bad_files=[])
    assert pq.read_table(target).num_rows == 0


def test_a_faulty_file_leaves_no_target(tmp_path: Path) -> None:
    good = raw(tmp_path, "games/a.csv", b"id\n1\n")
    for content in (b"", b"name\na\n", b"id\n1,2\n"):
        target = tmp_path / "target.parquet"
        target.write_bytes(b"the target of an earlier try")
        with pytest.raises(FileFaultError, match=r"^games/b\.csv") as raised:
            write_rows([good, raw(tmp_path, "games/b.csv", content)], "games", COLUMNS, target)
        assert isinstance(raised.value, UserError)
        assert not target.exists()


@pytest.mark.parametrize("name", ["a.csv.bak", "a", "a.csv.zst", "a.parquet.gz", "a.gz", "csv"])
def test_a_name_with_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileFaultError, match=rf"^games/{name} is no file of source games: "):
        write_rows([raw(tmp_path, f"games/{name}", b"id\n")], "games", COLUMNS, tmp_path / "t")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"])
def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileFaultError, match=rf"^games/{name} cannot be read \(No such file"):
        write_rows([RawFile(f"games/{name}", tmp_path / "x")], "games", COLUMNS, tmp_path / "t")


def test_every_reason_has_an_explanation() -> None:
    used = {
        word
        for path in (ROOT / "include" / "lake" / "ledger_rows").glob("*.py")
        for word in path.read_text().split('"')
        if word in REASONS
    }
    assert used == set(REASONS)


PROGRAM = """
import json, re, sys
from pathlib import Path
from include.lake.ledger_rows.rows import RawFile
from include.lake.ledger_rows.write import write_rows
def peak():
    # Unlike ru_maxrss, this peak does not include the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
before = peak()
file, columns = RawFile("bets/" + sys.argv[1], Path(sys.argv[1])), json.loads(sys.argv[2])
counts = write_rows([file], "bets", columns, Path("target.parquet"))
print(json.dumps([counts.good, counts.bad, peak() - before]))
"""


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_memory_does_not_grow_with_the_file(tmp_path: Path, ending: str) -> None:
    columns = [f"column_{number}" for number in range(8)]
    rows = 250_000
    text = [f"{number * 7919 % 1_000_003:012}" for number in range(rows)]
    path = tmp_path / f"big.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table(dict.fromkeys(columns, text)), path, compression="none")
    else:
        is_csv = ending == "csv"
        with path.open("w") as stream:
            if is_csv:
                stream.write(",".join(columns) + "\n")
            for value in text:
                row = ",".join([value] * 8) if is_csv else json.dumps(dict.fromkeys(columns, value))
                stream.write(row + "\n")
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, path.name, json.dumps(dict.fromkeys(columns, True))],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    good, bad, megabytes = json.loads(ran.stdout)
    assert (good, bad) == (rows, 0)
    assert megabytes < 200
