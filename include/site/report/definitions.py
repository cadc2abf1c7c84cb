"""What each metric means, from the descriptions of the run's dbt manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.manifest import Manifest
from include.settings import UserError
from include.site.report.metrics import ALL, Metric

NO_MANIFEST = "The manifest of this run could not be read, so the figures have no definitions."


@dataclass(frozen=True)
class Definition:
    """The definition of a metric: text and code by turns, the text first."""

    metric: Metric
    meaning: Sequence[str]
    over: Sequence[str]


def definitions(path: Path, metrics: Sequence[Metric] = ALL) -> tuple[list[Definition], str]:
    """The definition of each metric, and the reason if the manifest cannot be read.

    `path` is the `manifest.json` of the run, because the project on the host that writes the report
    can be another one by now.
    """
    try:
        columns = _columns(Manifest.read(path))
    except UserError:
        columns = {}
    reason = "" if columns else NO_MANIFEST
    found = []
    for metric in metrics:
        described = columns.get((metric.mart, metric.column))
        meaning = " ".join(described.split()) if described else "It is not described."
        if not described and reason:
            meaning = "The descriptions of the marts could not be read."
        over = metric.over.value.format(
            numerator=f"`{metric.numerator}`", denominator=f"`{metric.denominator}`"
        )
        if metric.window > 1:
            over += (
                f" It is complete if the mart has the {metric.window} days of each day's window."
            )
        found.append(Definition(metric, parts(meaning), parts(over)))
    return found, reason


def parts(text: str) -> list[str]:
    """Text and code by turns: the manifest's descriptions write code in backticks."""
    return re.split("`", text)


def _columns(manifest: Manifest) -> dict[tuple[str, str], str]:
    """The descriptions by mart and column."""
    found: dict[tuple[str, str], str] = {}
    for node in manifest.nodes.values():
        if node["resource_type"] == "model":
            described: Mapping[str, Mapping[str, Any]] = node.get("columns", {})
            for name, column in described.items():
                found[node["name"], name] = str(column.get("description") or "")
    return found
