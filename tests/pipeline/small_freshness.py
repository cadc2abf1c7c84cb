"""Replaces `include/lake/run_days/freshness.py` for the small project, whose sources have no rule.

The stale sources are those in `data/lake/stale.json`, none if that file does not exist. As long as
`data/lake/broken/freshness` exists, they cannot be found.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from include.settings import Settings, UserError


def reported_stale_sources(settings: Settings, *_: Any) -> list[str]:
    """Return the ids of the stale sources."""
    if (Path(settings.lake) / "broken" / "freshness").exists():
        raise UserError("freshness is broken on purpose.")
    stale = Path(settings.lake) / "stale.json"
    found: list[str] = json.loads(stale.read_text())["stale"] if stale.exists() else []
    return found
