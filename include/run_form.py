"""The form of a manual run: its fields, its checks, and the arguments that tasks derive from it.

Both environments use it: Airflow shows and validates `FIELDS`, and preflight accepts the same
fields on its command line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from include.settings import UserError

SELECTOR = {
    "default": None,
    "type": ["null", "string"],
    # Not blank, and not an option of dbt's command line.
    "pattern": r"^\s*[^\s-]",
}
DAY = {
    "default": None,
    "type": ["null", "string"],
    "format": "date",
    # The format `date` alone would accept 20260901, which the commands refuse.
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
}
SWITCH = {"default": False, "type": "boolean"}
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "select": SELECTOR
    | {
        "title": "Select",
        "description": "Nodes in dbt's syntax; empty: all nodes. Other tasks are skipped.",
        "examples": ["rpt_betting", "+fct_sessions", "int_events+", "path:models/marts/kpis"],
    },
    "exclude": SELECTOR
    | {
        "title": "Exclude",
        "description": "Nodes in dbt's syntax to leave out; empty: none.",
    },
    "full_refresh": SWITCH
    | {
        "title": "Full refresh",
        "description": "Rebuild incremental models completely, from all days of the lake.",
    },
    "allow_lost_rows": SWITCH
    | {
        "title": "Allow lost rows",
        "description": "Build although a source has lost its files or more than half of its rows.",
    },
    "from": DAY
    | {
        "title": "From",
        "description": "First UTC day to rebuild (needs To); empty: the days whose files changed.",
    },
    "to": DAY | {"title": "To", "description": "Last UTC day to rebuild (needs From)."},
    "dry_run": SWITCH
    | {
        "title": "Dry run",
        "description": "Compile and list only: preflight does that, all other tasks are skipped.",
    },
}
"""For each field the arguments of Airflow's `Param`: default, texts and JSON schema."""

REMEDY = "name nodes in dbt's syntax, such as fct_bets+ or path:models/marts/kpis"
"""The remedy in every error message about a selector."""


@dataclass(frozen=True)
class RunForm:
    """A valid form. The defaults are those of a scheduled run.

    `select` and `exclude` are empty or selectors of dbt. `first_day` and `last_day` are UTC days;
    either both are given or none.
    """

    select: str = ""
    exclude: str = ""
    full_refresh: bool = False
    first_day: date | None = None
    last_day: date | None = None
    dry_run: bool = False
    allow_lost_rows: bool = False

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> RunForm:
        """Read the fields by their names; raises UserError if they are invalid."""
        # Airflow passes on unknown fields, and a misspelt `select` would build all nodes.
        for name in params:
            if name not in FIELDS:
                raise UserError(
                    f"{name} is no field of the run's form; its fields are {', '.join(FIELDS)}."
                )
        form = cls(
            select=_selector("select", params.get("select")),
            exclude=_selector("exclude", params.get("exclude")),
            full_refresh=bool(params.get("full_refresh")),
            first_day=_day("from", params.get("from")),
            last_day=_day("to", params.get("to")),
            dry_run=bool(params.get("dry_run")),
            allow_lost_rows=bool(params.get("allow_lost_rows")),
        )
        first, last = form.first_day, form.last_day
        if (first is None) != (last is None):
            present, missing = ("from", "to") if first else ("to", "from")
            raise UserError(
                f"{present} is {first or last} and {missing} is empty: give both, or neither."
            )
        if first and last and first > last:
            raise UserError(f"from {first} is after to {last}: swap them.")
        if first and form.full_refresh:
            raise UserError(
                f"full_refresh rebuilds every day, not only those from {first} to {last}: "
                "leave from and to empty, or full_refresh off."
            )
        return form

    def selection(self) -> list[str]:
        """The arguments of dbt that select the nodes."""
        selection = ["--select", self.select] if self.select else []
        return [*selection, *(["--exclude", self.exclude] if self.exclude else [])]

    def refresh(self) -> list[str]:
        """The argument for a full refresh, which dbt and the DAG's steps both accept."""
        return ["--full-refresh"] if self.full_refresh else []

    def days(self) -> list[str]:
        """The arguments of `include.lake partitions`."""
        days = ["--from", str(self.first_day), "--to", str(self.last_day)]
        allow = ["--allow-lost-rows"] if self.allow_lost_rows else []
        return [*self.refresh(), *allow, *(days if self.first_day else [])]

    def arguments(self) -> list[str]:
        """The arguments of `include.build.preflight`, except the folder of a dry run."""
        return [*self.selection(), *self.days()]


def skip_reason(
    nodes: Collection[str],
    sources: Collection[str],
    *,
    selected: frozenset[str] | None,
    stale: frozenset[str],
) -> str | None:
    """The reason to skip what builds or tests these nodes, or None if it has to run.

    `sources` are the ids of all sources that it needs. `selected` is None if the run has no
    selector; only then something without a node (the test of a source) has to run.
    """
    if selected is not None and not (nodes and selected.issuperset(nodes)):
        return "not selected"
    if needed := stale.intersection(sources):
        return f"stale source {', '.join(sorted(needed))}"
    return None


def _selector(name: str, value: object) -> str:
    if value is None:
        return ""
    # dbt would read a line break as part of a name.
    text = " ".join(str(value).split())
    if not text or text.startswith("-"):
        raise UserError(f"{name} is {value!r}: {REMEDY}, or leave it empty.")
    return text


def _day(name: str, value: object) -> date | None:
    if value is None:
        return None
    try:
        day = datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise UserError(f"{name} is {value!r}: give a day such as 2026-09-01.") from None
    today = datetime.now(UTC).date()
    if day > today:
        raise UserError(f"{name} {day} is in the future: give a day up to {today} (UTC).")
    return day
