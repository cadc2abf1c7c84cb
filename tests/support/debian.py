"""Debian packages that tests need and that this machine may lack."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PATH = ":".join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
"""netavark needs iptables, which Debian installs where a short PATH of root does not look."""
ENVIRONMENT = {**os.environ, "PATH": PATH}
"""As it is before any test: those of the stand-in trust its certificate authority alone."""


class Unavailable(Exception):  # noqa: N818 - a reason to skip
    """The packages are missing and cannot be installed. The message is the reason."""


def install(packages: Mapping[str, str], purpose: str) -> None:
    """Install the packages that are missing; raises Unavailable if they cannot be installed.

    A package is there if its program or file, the key, exists. `purpose` begins the message.
    """
    missing = [
        package
        for known, package in packages.items()
        if not (Path(known).exists() if known.startswith("/") else shutil.which(known, path=PATH))
    ]
    if not missing:
        return
    names = ", ".join(missing)
    if sys.platform != "linux" or not shutil.which("apt-get", path=PATH):
        raise Unavailable(f"{purpose} need {names}")
    if os.geteuid():
        raise Unavailable(f"{purpose} need {names}, which only root can install")
    options = ["-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    try:
        with Path("/var/lock/game-analytics-apt").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for command in (["update", "-qq"], ["install", *options, *missing]):
                subprocess.run(
                    ["apt-get", *command],
                    env={**ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=600,
                    check=True,
                )
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{names} cannot be installed: {error.stderr}") from None
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Unavailable(f"{names} cannot be installed: {error}") from None
