"""DuckDB's memory limit: the least of what machine, control groups and process allow."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from include import memory
from include.memory import LEAST, MIB, RESERVE, SHARE, Machine
from include.settings import SettingError, Settings

GIB = 1024 * MIB


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with 8 GiB available and no control group."""
    write(tmp_path / "proc/meminfo", f"MemTotal: 16777216 kB\nMemAvailable: {8 << 20} kB\n")
    write(tmp_path / "proc/self/cgroup", "")
    write(tmp_path / "proc/self/statm", f"{GIB // os.sysconf('SC_PAGE_SIZE')} 1 1 1 0 1 0\n")
    (tmp_path / "cgroup").mkdir()
    return Machine(tmp_path / "proc", tmp_path / "cgroup")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def version_2(folder: Path, limit: str, used: int, files: int = 0) -> None:
    write(folder / "memory.max", f"{limit}\n")
    write(folder / "memory.current", f"{used}\n")
    write(folder / "memory.stat", f"anon 1\ninactive_file {files}\nactive_file 7\n")


def version_1(folder: Path, limit: int, used: int, files: int = 0) -> None:
    write(folder / "memory.limit_in_bytes", f"{limit}\n")
    write(folder / "memory.usage_in_bytes", f"{used}\n")
    write(folder / "memory.stat", f"inactive_file 5\ntotal_inactive_file {files}\n")


def test_without_a_limit_it_is_what_the_machine_has_available(machine: Machine) -> None:
    assert machine.available() == 8 * GIB


def test_a_system_without_proc_gives_half_of_its_memory(tmp_path: Path) -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert Machine(tmp_path / "none", tmp_path / "none").available() == whole // 2


def test_what_a_control_group_of_version_2_has_left(machine: Machine) -> None:
    write(machine.proc / "self/cgroup", "0::/user/session\n")
    version_2(machine.cgroup / "user/session", str(3 * GIB), used=GIB, files=GIB // 2)
    assert machine.available() == 3 * GIB - GIB + GIB // 2


def test_a_group_above_can_have_less_left(machine: Machine) -> None:
    write(machine.proc / "self/cgroup", "0::/user/session\n")
    version_2(machine.cgroup / "user/session", "max", used=GIB)
    version_2(machine.cgroup / "user", str(2 * GIB), used=GIB)
    version_2(machine.cgroup, "max", used=0)
    assert machine.available() == GIB


def test_a_container_sees_only_its_own_group_as_the_root(machine: Machine) -> None:
    write(machine.proc / "self/cgroup", "0::/../../system.slice/docker-1.scope\n")
    version_2(machine.cgroup, str(2 * GIB), used=GIB // 4)
    assert machine.available() == 2 * GIB - GIB // 4


def test_what_a_control_group_of_version_1_has_left(machine: Machine) -> None:
    write(machine.proc / "self/cgroup", "9:cpu,cpuacct:/a\n4:memory:/docker/1\n0::/\n")
    version_1(machine.cgroup / "memory/docker/1", 2 * GIB, used=GIB, files=GIB // 4)
    version_1(machine.cgroup / "memory", 9223372036854771712, used=3 * GIB)
    assert machine.available() == GIB + GIB // 4


def test_a_used_up_group_leaves_nothing_and_the_limit_is_the_least(machine: Machine) -> None:
    write(machine.proc / "self/cgroup", "0::/\n")
    version_2(machine.cgroup, str(GIB), used=GIB + MIB)
    assert machine.available() == 0
    assert memory.limit(Settings(), machine) == LEAST


def test_what_ulimit_v_leaves(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_AS: (3 * GIB, resource.RLIM_INFINITY)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    assert machine.available() == 3 * GIB - GIB


def test_a_process_with_2_gib_gives_duckdb_about_one(machine: Machine) -> None:
    write(machine.proc / "meminfo", f"MemAvailable: {2 << 20} kB\n")
    limit = memory.limit(Settings(), machine)
    assert limit == int((2 * GIB - RESERVE) * SHARE)
    assert 900 * MIB < limit < 1100 * MIB


@pytest.mark.parametrize(("text", "wanted"), [("900MiB", 900 * MIB), ("4GiB", 4 * GIB)])
def test_the_setting_replaces_what_the_machine_has(
    machine: Machine, text: str, wanted: int
) -> None:
    settings = Settings.from_env({"GAME_ANALYTICS_DUCKDB_MEMORY": text})
    assert memory.limit(settings, machine) == wanted


@pytest.mark.parametrize("text", ["1", "0MiB", "2 GiB", "80%", "-1GiB", "1.5GiB", "2GB"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="such as 900MiB or 4GiB"):
        Settings.from_env({"GAME_ANALYTICS_DUCKDB_MEMORY": text})


def test_little_memory_means_few_threads(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_cores", lambda: 8)
    assert memory.options(Settings(duckdb_memory="512MiB"), machine=machine) == {
        "memory_limit": "512MiB",
        "threads": 4,
    }
    assert memory.options(Settings(duckdb_memory="64MiB"), machine=machine)["threads"] == 1
    assert memory.options(Settings(duckdb_memory="8GiB"), machine=machine)["threads"] == 8


def test_a_reader_gets_a_quarter() -> None:
    settings = Settings(duckdb_memory="2GiB")
    assert memory.options(settings, read_only=True)["memory_limit"] == "512MiB"
