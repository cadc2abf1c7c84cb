"""Days whose rows the warehouse holds and whose files the lake no longer does.

A bucket's lifecycle removes raw files after a time; the marts keep what was made of them. To build
such a day again would replace its rows by nothing, or by those of the files that came last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from include.lake.listing import Partition
from include.manifest import Manifest


def days_to_keep(
    manifest: Manifest,
    built: Iterable[Partition],
    listed: Iterable[Partition],
    before: date | None,
) -> Mapping[str, set[str]]:
    """The days of each source that must not be built again, for that would lose rows.

    `built` and `listed` are the whole lake as it was built and as it is. Days from `before` on are
    not kept: a file that goes there was taken back. Without `before` no day is.
    """
    there = {(p.source, p.day): p for p in listed}
    expired = [
        p
        for p in built
        if p.day and before and date.fromisoformat(p.day) < before and _has_expired(p, there)
    ]
    kept: dict[str, set[str]] = {}
    for replaced in _replaced_from_lake(manifest):
        # An output day reads the input days beside it that it is replaced with, so a touched day
        # reads as far as its farthest replaced day.
        reach = replaced["before"] + replaced["after"]
        days = {
            (date.fromisoformat(p.day) + timedelta(days=shift)).isoformat()
            for p in expired
            if p.source in replaced["sources"]
            for shift in range(-reach, reach + 1)
        }
        for source in replaced["sources"]:
            kept.setdefault(source, set()).update(days)
    return kept


def _has_expired(built: Partition, there: Mapping[tuple[str, str], Partition]) -> bool:
    """Whether a day has gone, or some of its files: the oldest go first, what merges them is new.

    The macro `refuse_to_lose_days` asks the same.
    """
    now = there.get((built.source, built.day))
    return now is None or (
        now.object_count < built.object_count and now.changed_at <= built.changed_at
    )


def _replaced_from_lake(manifest: Manifest) -> Iterator[Mapping[str, Any]]:
    """`replaced_days` of each incremental model that reads the lake itself, or through views."""
    for unique_id, node in manifest.nodes.items():
        if is_incremental(node) and reads_lake(manifest, unique_id):
            yield node["config"]["meta"]["replaced_days"]


def reads_lake(manifest: Manifest, unique_id: str) -> bool:
    """Whether a node reads a source itself, or through views."""
    return any(
        parent not in manifest.nodes
        or (
            manifest.nodes[parent]["config"]["materialized"] in {"view", "ephemeral"}
            and reads_lake(manifest, parent)
        )
        for parent in manifest.parents(unique_id)
    )


def is_incremental(node: Mapping[str, object]) -> bool:
    """Whether a node is an incremental model, which has `replaced_days` in its meta."""
    config = node["config"]
    return isinstance(config, Mapping) and config.get("materialized") == "incremental"
