"""A warehouse file that cannot be opened raises one sentence with a remedy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.settings import Settings, UserError
from include.warehouse.duckdb_file import connect, temporary_folder

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


def test_a_connection_has_the_limit_of_the_settings(tmp_path: Path) -> None:
    settings = Settings(duckdb_memory="300MiB")
    path = tmp_path / "warehouse.duckdb"
    for read_only, wanted in ((False, "300.0 MiB"), (True, "128.0 MiB")):
        with connect(path, read_only=read_only, settings=settings) as connection:
            sql = "select current_setting('memory_limit'), current_setting('temp_directory')"
            assert connection.execute(sql).fetchone() == (wanted, f"{path}.tmp")


SPILL = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("set memory_limit = '60MB'; set threads = 1; set enable_progress_bar = false")
connection.execute("create temp table t as select md5(range::varchar) as a from range(2000000)")
print("spilled", flush=True)
input()
"""


def spilling(path: Path) -> subprocess.Popen[bytes]:
    """A process that has opened the warehouse and has temporary files."""
    command = [sys.executable, "-c", SPILL, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"spilled\n"
    return process


def test_the_temporary_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    folder = temporary_folder(path)
    with spilling(path) as process:
        files = sorted(folder.iterdir())
        assert files
        # A process that runs keeps its files, whoever tries to open the warehouse.
        for read_only in (False, True):
            with pytest.raises(UserError, match="is open by"):
                connect(path, read_only=read_only)
        assert sorted(folder.iterdir()) == files
        process.kill()
    assert sorted(folder.iterdir()) == files
    connect(path, read_only=True).close()
    assert sorted(folder.iterdir()) == files
    connect(path).close()
    assert not folder.exists()


def test_the_temporary_files_of_this_process_and_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    with connect(path, settings=Settings(duckdb_memory="64MiB")) as connection:
        connection.execute(
            "create temp table t as select md5(range::varchar) as a from range(2000000)"
        )
        files = sorted(temporary_folder(path).iterdir())
        foreign = temporary_folder(path) / "notes.txt"
        foreign.touch()
        assert files
        connect(path, settings=Settings(duckdb_memory="64MiB")).close()
        assert sorted(temporary_folder(path).iterdir()) == sorted([*files, foreign])
        assert connection.execute("select count(distinct a) from t").fetchone() == (2_000_000,)


def test_a_folder_in_which_nothing_can_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere but on a read-only file system, which only root can mount.
    monkeypatch.setattr("include.warehouse.duckdb_file.os.access", lambda *_: False)
    with pytest.raises(UserError, match=r"is read-only, .*GAME_ANALYTICS_DUCKDB to a file"):
        connect(tmp_path / "warehouse.duckdb")
