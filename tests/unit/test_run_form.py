"""The form of a manual run: which forms are refused with which error, and each task's arguments."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from include.run_form import FIELDS, RunForm, skip_reason
from include.settings import UserError

TODAY = datetime.now(UTC).date()


def test_the_defaults_are_those_of_a_scheduled_run() -> None:
    defaults = {name: field["default"] for name, field in FIELDS.items()}
    assert RunForm.from_params(defaults) == RunForm.from_params({}) == RunForm()
    assert RunForm().arguments() == []


def test_each_field_becomes_one_argument_of_a_command() -> None:
    form = RunForm.from_params(
        {
            "select": " +fct_bets\n$(rm) ",
            "exclude": "tag:pii,config.materialized:table",
            "full_refresh": True,
            "allow_lost_rows": True,
            "dry_run": True,
        }
    )
    selection = ["--select", "+fct_bets $(rm)", "--exclude", "tag:pii,config.materialized:table"]
    assert form.selection() == selection
    assert form.refresh() == ["--full-refresh"]
    assert form.days() == ["--full-refresh", "--allow-lost-rows"]
    assert form.arguments() == [*selection, "--full-refresh", "--allow-lost-rows"]
    assert form.dry_run

    form = RunForm.from_params({"from": "2026-09-01", "to": "2026-09-01"})
    assert (form.first_day, form.last_day) == (date(2026, 9, 1), date(2026, 9, 1))
    assert form.arguments() == form.days() == ["--from", "2026-09-01", "--to", "2026-09-01"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"selects": "a"},
            "selects is no field of the run's form; its fields are select, exclude, ",
        ),
        ({"select": " \n"}, "select is ' .n': name nodes in dbt's syntax.* or leave it empty"),
        ({"exclude": " --vars x"}, "exclude is ' --vars x': name nodes in dbt's syntax"),
        ({"from": "2026-09-01"}, "from is 2026-09-01 and to is empty: give both, or neither"),
        ({"to": "2026-09-01"}, "to is 2026-09-01 and from is empty: give both, or neither"),
        (
            {"from": "2026-09-02", "to": "2026-09-01"},
            "from 2026-09-02 is after to 2026-09-01: swap them",
        ),
        ({"from": "2026-02-30", "to": "2026-03-01"}, "from is '2026-02-30': give a day such as"),
        (
            {"from": "2026-09-01", "to": str(TODAY + timedelta(days=2))},
            rf"to {TODAY + timedelta(days=2)} is in the future: give a day up to \d+-\d+-\d+ ",
        ),
        (
            {"from": "2026-09-01", "to": "2026-09-02", "full_refresh": True},
            "full_refresh rebuilds every day, not only those from 2026-09-01 to 2026-09-02: leave",
        ),
    ],
)
def test_an_invalid_form_is_refused_in_one_line(params: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected) as error:
        RunForm.from_params(params)
    assert "\n" not in str(error.value)


def test_today_is_a_valid_day() -> None:
    assert RunForm.from_params({"from": str(TODAY), "to": str(TODAY)}).last_day == TODAY


@pytest.mark.parametrize(
    ("nodes", "selected", "stale", "expected"),
    [
        ({"a"}, None, set(), None),
        ({"a"}, {"a", "b"}, {"other"}, None),
        ({"a"}, {"b"}, set(), "not selected"),
        ({"a"}, set(), set(), "not selected"),
        ({"a"}, {"a"}, {"x"}, "stale source x"),
        ({"a"}, None, {"y", "x", "z"}, "stale source x, y"),
        # A cross-model test needs all of its nodes; a test without a node needs a whole run.
        ({"a", "b"}, {"a"}, set(), "not selected"),
        ({"a", "b"}, {"a", "b", "c"}, set(), None),
        (set(), {"a"}, set(), "not selected"),
        (set(), None, set(), None),
    ],
)
def test_the_reason_to_skip(
    nodes: set[str], selected: set[str] | None, stale: set[str], expected: str | None
) -> None:
    reason = skip_reason(
        nodes,
        {"x", "y"},
        selected=None if selected is None else frozenset(selected),
        stale=frozenset(stale),
    )
    assert reason == expected
