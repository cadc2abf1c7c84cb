"""Makes what the laptop's commands write readable for its owner only."""

from __future__ import annotations

import os

from include.laptop.lock import HOME
from include.settings import ROOT

UMASK = 0o077
"""New files get mode 600 and new folders mode 700. Processes that are started inherit it."""
FOLDERS = (HOME, ROOT / "data", ROOT / "dbt" / "target", ROOT / "dbt" / "logs")
"""The folders with the lake, the warehouse, logs, settings, keys and compiled SQL. Files of other
users of this machine are never in them, so nobody else needs to enter them."""


def keep_private() -> None:
    """Write only for this user, and close the folders that an earlier version left open.

    A folder with mode 700 also protects the files in it that have another mode. A folder of another
    user, such as one that a container wrote, stays as it is.
    """
    os.umask(UMASK)
    closed = []
    for folder in FOLDERS:
        if not folder.is_dir():
            continue
        found = folder.stat()
        if found.st_mode & UMASK and found.st_uid == os.getuid():
            folder.chmod(0o700)
            closed.append(str(folder.relative_to(ROOT)))
    if closed:
        print(f"Other users of this machine can no longer read {', '.join(closed)}.")
