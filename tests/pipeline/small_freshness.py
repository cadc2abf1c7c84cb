"""Replaces `include/lake/run_days/freshness.py` for the small project, whose sources have no rule.

The stale sources are those in `data/lake/stale.json`, none if that file does not exist.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from include.settings import Settings


def reported_stale_sources(settings: Settings, *_: Any) -> list[str]:
    """Return the ids of the stale sources."""
    stale = Path(settings.lake) / "stale.json"
    found: list[str] = json.loads(stale.read_text())["stale"] if stale.exists() else []
    return found
