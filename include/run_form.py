"""The form of a manual run: what it may hold, and what each task of the DAG makes of it.

Plain data and functions, for both environments: Airflow shows and validates `FIELDS`, preflight
takes the same form on its command line.
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
    # Something that is not blank, and no option of dbt's.
    "pattern": r"^\s*[^\s-]",
}
DAY = {
    "default": None,
    "type": ["null", "string"],
    "format": "date",
    # Python reads 20260901 as a date, too; the commands that get it do not.
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
}
SWITCH = {"default": False, "type": "boolean"}
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "select": SELECTOR
    | {
        "title": "Select",
        "description": "Nodes in dbt's syntax; empty: all. Tasks of other nodes are skipped.",
        "examples": ["rpt_betting", "+fct_sessions", "int_events+", "path:models/marts/kpis"],
    },
    "exclude": SELECTOR
    | {
        "title": "Exclude",
        "description": "Nodes in dbt's syntax that are left out; empty: none.",
    },
    "full_refresh": SWITCH
    | {
        "title": "Full refresh",
        "description": "Rebuild incremental models whole, from all days of the lake.",
    },
    "from": DAY
    | {
        "title": "From",
        "description": "First UTC day to rebuild, with To; empty: what arrived since the last run.",
    },
    "to": DAY | {"title": "To", "description": "Last UTC day to rebuild."},
    "dry_run": SWITCH
    | {
        "title": "Dry run",
        "description": "Compile and list only: preflight does it, every other task is skipped.",
    },
}
"""By name, the default, the texts and the JSON schema: what Airflow's `Param` takes."""

REMEDY = "name nodes in dbt's syntax, such as fct_bets+ or path:models/marts/kpis"
"""What every sentence about a selector says to do."""


@dataclass(frozen=True)
class RunForm:
    """A form that makes sense; the defaults are those of a scheduled run.

    `select` and `exclude` are empty or in dbt's syntax; the days are UTC days, both or neither.
    """

    select: str = ""
    exclude: str = ""
    full_refresh: bool = False
    first_day: date | None = None
    last_day: date | None = None
    dry_run: bool = False

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> RunForm:
        """Read the fields by their names; raises UserError for what cannot be meant."""
        # Airflow passes on what it does not know: a misspelt select would build everything.
        for name in params:
            if name not in FIELDS:
                raise UserError(
                    f"{name} is no field of the run's form; there are {', '.join(FIELDS)}."
                )
        form = cls(
            select=_selector("select", params.get("select")),
            exclude=_selector("exclude", params.get("exclude")),
            full_refresh=bool(params.get("full_refresh")),
            first_day=_day("from", params.get("from")),
            last_day=_day("to", params.get("to")),
            dry_run=bool(params.get("dry_run")),
        )
        first, last = form.first_day, form.last_day
        if (first is None) != (last is None):
            there, missing = ("from", "to") if first else ("to", "from")
            raise UserError(
                f"{there} is {first or last} and {missing} is empty: give both, or neither."
            )
        if first and last and first > last:
            raise UserError(f"from {first} lies after to {last}: swap them.")
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
        """The argument for a full refresh, the same for dbt and for the steps around it."""
        return ["--full-refresh"] if self.full_refresh else []

    def days(self) -> list[str]:
        """The arguments of `include.lake partitions`."""
        asked = ["--from", str(self.first_day), "--to", str(self.last_day)]
        return [*self.refresh(), *(asked if self.first_day else [])]

    def arguments(self) -> list[str]:
        """The arguments of `include.build.preflight`, but for the folder of a dry run."""
        return [*self.selection(), *self.days()]


def skip_reason(
    nodes: Collection[str],
    sources: Collection[str],
    *,
    selected: frozenset[str] | None,
    stale: frozenset[str],
) -> str | None:
    """Why something is not run that builds or tests these nodes, or None if it is.

    `sources` are all that it needs; `selected` is None if the run has no selector. What concerns
    no node at all (a test of a source) runs only then.
    """
    if selected is not None and not (nodes and selected.issuperset(nodes)):
        return "not selected"
    if needed := stale.intersection(sources):
        return f"stale source {', '.join(sorted(needed))}"
    return None


def _selector(name: str, value: object) -> str:
    if value is None:
        return ""
    # dbt takes a line break for a part of a name.
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
        raise UserError(f"{name} {day} lies in the future: give a day up to {today} (UTC).")
    return day
