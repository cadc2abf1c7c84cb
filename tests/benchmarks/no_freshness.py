"""Replaces `include/lake/run_days/freshness.py` for a generated project, which has no sources."""

from __future__ import annotations

from typing import Any


def reported_stale_sources(*_: Any) -> list[str]:
    """Return the ids of the stale sources: none."""
    return []
