"""Makes a copy of the checkout for a test, with the files that are not committed yet."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from include.settings import ROOT


def copy(target: Path) -> Path:
    """Copy all files that git does not ignore to a folder, and commit them there."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=t", "-c", "user.email=t@invalid", "commit", "--quiet", "-m", "all"],
    ):
        subprocess.run(["git", "-C", target, *arguments], check=True)
    return target
