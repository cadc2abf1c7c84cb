"""A warehouse file that cannot be opened raises one sentence with a remedy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.settings import UserError
from include.warehouse.duckdb_file import connect

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"


def test_a_missing_file_is_created_with_its_folder(tmp_path: Path) -> None:
    with connect(tmp_path / "new" / "warehouse.duckdb") as connection:
        connection.execute("create table t as select 1 as a")
    assert (tmp_path / "new" / "warehouse.duckdb").exists()


def test_a_process_that_has_opened_the_file_is_named_or_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(UserError, match=rf"is open by .*process {holder.pid}.*wait for"):
            connect(path)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        connect(path, timeout_seconds=20).close()


def test_a_file_of_another_duckdb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    connect(path).close()
    content = bytearray(path.read_bytes())
    # The storage version is the 64-bit number after the block's checksum and the magic bytes.
    # DuckDB's error names the checksum that the changed block needs.
    content[12:20] = (9999).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(duckdb.Error) as refused:
        duckdb.connect(str(path))
    checksum = re.search(r"computed checksum (\d+)", str(refused.value))
    assert checksum
    content[:8] = int(checksum[1]).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"written by another DuckDB .* move it away"):
        connect(path)


@pytest.mark.parametrize("content", [b"not a database", b"x" * 100_000])
def test_a_damaged_file_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged or no DuckDB file: restore it"):
        connect(path)
    assert path.read_bytes() == content


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        connect(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match="cannot be opened"):
        connect(tmp_path / "data" / "warehouse.duckdb")
