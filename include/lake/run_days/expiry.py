"""Expired days: their rows are in the warehouse, and their files are no longer in the lake.

A lifecycle rule of the bucket deletes raw files after a time, and the marts keep the rows that were
built from them. Building such a day again would replace its rows by those of the files that are
left, or by none.
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
    bound: date | None,
) -> dict[str, set[str]]:
    """The days of each source that must not be built again, because rows would be lost.

    `built` and `listed` are the partitions of the whole lake, as they were built and as they are.
    Only days before `bound` can be expired: a file of a later day that is missing was removed on
    purpose. Without a bound no day is expired.
    """
    listed_partitions = {(p.source, p.day): p for p in listed}
    expired = [
        p
        for p in built
        if p.day
        and bound
        and date.fromisoformat(p.day) < bound
        and _has_expired(p, listed_partitions.get((p.source, p.day)))
    ]
    kept: dict[str, set[str]] = {}
    for replaced in _replaced_from_lake(manifest):
        # A touched day D replaces the output days from D - before to D + after. An output day is
        # built from every input day for which it is replaced. So a touched day reads the input
        # days up to `reach` days away.
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


def _has_expired(built: Partition, listed: Partition | None) -> bool:
    """Whether a day, or some of its files, were deleted by a lifecycle rule.

    The rule deletes the oldest files first, so a day with fewer files and no newer one has expired.
    A compaction writes a newer file. The macro `refuse_to_lose_days` has the same condition in SQL.
    """
    return listed is None or (
        listed.object_count < built.object_count and listed.changed_at <= built.changed_at
    )


def _replaced_from_lake(manifest: Manifest) -> Iterator[Mapping[str, Any]]:
    """The `replaced_days` of each incremental model that reads the lake."""
    for unique_id, node in manifest.nodes.items():
        if (replaced := replaced_days(node)) and reads_lake(manifest, unique_id):
            yield replaced


def reads_lake(manifest: Manifest, unique_id: str) -> bool:
    """Whether a node reads a source directly, by views, or by tables of the folder `staging`.

    Such a table may lack a day whose files had expired when the table was made, while models that
    are older than the table still have the day's rows.
    """
    return any(
        parent not in manifest.nodes
        or (_stages_rows(manifest.nodes[parent]) and reads_lake(manifest, parent))
        for parent in manifest.parents(unique_id)
    )


def _stages_rows(node: Mapping[str, Any]) -> bool:
    """Whether a node is a view, or a table of the folder `staging`."""
    is_view = node["config"]["materialized"] in {"view", "ephemeral"}
    return is_view or "staging" in node.get("fqn", ())


def replaced_days(node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The `replaced_days` of an incremental model that is built by days; None for other nodes."""
    found: Mapping[str, Any] | None = _incremental_meta(node).get("replaced_days")
    return found


def has_changed_keys(node: Mapping[str, Any]) -> bool:
    """Whether a node is an incremental model that is built by changed keys.

    An incremental model with neither `replaced_days` nor `changed_keys` in its meta is calculated
    as a whole in each run, and only the rows that differ are written.
    """
    return "changed_keys" in _incremental_meta(node)


def _incremental_meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    config = node["config"]
    return (config.get("meta") or {}) if config.get("materialized") == "incremental" else {}
