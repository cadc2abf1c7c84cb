"""Each thing that a run needs, taken away: one sentence that names it and the remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include import manifest, preflight
from include.settings import ROOT, Settings, UserError


def test_dbt_is_missing_or_of_another_version(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none is no program: run `rm -rf .venv && make install`"):
        preflight.check_dbt(Settings(dbt_executable=str(tmp_path / "none")))
    lock = tmp_path / "dbt.txt"
    lock.write_text("dbt-core==0.1 \\\n    --hash=sha256:00\n")
    with pytest.raises(UserError, match=r"dbt-core is .*, dbt.txt says 0.1: run `rm -rf"):
        preflight.check_dbt(Settings(dbt_executable=sys.executable), lock)
    assert "dbt-duckdb" in preflight.check_dbt(Settings(dbt_executable=sys.executable))


def test_a_target_of_a_later_release() -> None:
    assert preflight.check_target(Settings())
    with pytest.raises(UserError, match="redshift is not there yet in this release: set GAME_"):
        preflight.check_target(Settings(target="redshift"))


def test_a_manifest_of_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text('{"nodes": {}}')
    (tmp_path / "manifest.fingerprint").write_text("of other files")
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "manifest.json")
    monkeypatch.setattr(manifest, "FINGERPRINT", tmp_path / "manifest.fingerprint")
    monkeypatch.setattr(manifest.Manifest, "read", classmethod(lambda cls: cls({"nodes": {}})))
    with pytest.raises(UserError, match=r"was not made from the project's files.*make manifest"):
        preflight.check_manifest()


def test_the_lake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist: land events with `make land"):
        preflight.check_lake(Settings(lake=str(tmp_path / "none")))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: set GAME_ANALYTICS_LAKE to a folder"):
        preflight.check_lake(Settings(lake=str(tmp_path / "file")))
    assert preflight.check_lake(Settings(lake=str(tmp_path)))


def test_the_warehouse_is_locked_damaged_newer_or_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "warehouse.duckdb"
    assert preflight.check_duckdb(path).endswith("(new)")
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UserError, match=rf"is open by .* \(process {holder.pid}\)"):
            preflight.check_duckdb(path)
        holder.kill()
    content = bytearray(path.read_bytes())
    content[12] = 250  # The storage version.
    newer = tmp_path / "newer.duckdb"
    newer.write_bytes(content)
    with pytest.raises(UserError, match=r"was written by another DuckDB|is damaged"):
        preflight.check_duckdb(newer)
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"no database" * 2000)
    with pytest.raises(UserError, match="is damaged or no DuckDB file"):
        preflight.check_duckdb(damaged)
    with pytest.raises(UserError, match="is a folder"):
        preflight.check_duckdb(tmp_path)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("mars", "error: GAME_ANALYTICS_TARGET is 'mars'"),
        ("redshift", "error: target redshift is not there yet in this release"),
    ],
)
def test_as_a_program_it_says_one_sentence(tmp_path: Path, target: str, expected: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "include.preflight"],
        cwd=ROOT,
        env={"GAME_ANALYTICS_TARGET": target, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(expected)
    assert ended.stderr.count("\n") == 1
