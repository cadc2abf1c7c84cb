"""The lock of a checkout: one command at a time, and the processes of a killed one are ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="runs in Airflow's environment")

from include.laptop.lock import Holder, hold, holder
from include.laptop.processes import SESSION, is_running
from include.settings import ROOT, UserError


def test_a_second_command_s_error_names_the_first(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with hold("make up", "s", tmp_path):
        assert holder(tmp_path) == Holder(os.getpid(), "make up", "s")
        expected = rf"`make up` \(process {os.getpid()}\) .*: `make down` stops it\."
        with pytest.raises(UserError, match=expected), hold("make run", "", tmp_path):
            pytest.fail("two hold the lock")
    assert holder(tmp_path) is None


def test_the_processes_of_a_killed_holder_are_ended(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from include.laptop.lock import hold\n"
        "with hold('make run', 'mark', Path(sys.argv[1])):\n"
        "    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL,\n"
        f"        env=os.environ | {{'{SESSION}': 'mark'}})\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    child = int(killed.stdout)
    assert killed.returncode == -9
    assert is_running(child)
    with hold("make run", "other", tmp_path):
        until = time.monotonic() + 5
        while is_running(child) and time.monotonic() < until:
            time.sleep(0.05)
        assert not is_running(child)
