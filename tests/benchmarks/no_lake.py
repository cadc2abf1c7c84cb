"""Replaces `python -m include.lake` for a generated project, which reads no lake."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from include.settings import Settings


def main(command: str) -> None:
    """Run one command. `generate` makes the folder that preflight requires."""
    if command == "generate":
        Path(Settings.from_env(os.environ).lake).mkdir(parents=True, exist_ok=True)
    elif command == "freshness":
        print(json.dumps({"stale": []}))


if __name__ == "__main__":
    main(sys.argv[1])
