"""Policies are shown as enforced only if the warehouse or the bucket enforces them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.settings import Settings
from include.site.assets import Asset, Kind
from include.site.catalog import rules as module
from include.site.catalog.enforcement import Policy, Protection
from include.site.catalog.rules import Expirations, Mask, Rules, read_expirations, read_rules
from include.site.lineage.personal_data import Mark

REDSHIFT = Settings(
    target="redshift", lake="s3://studio/lake", unmasked_readers="role:fraud", schema_prefix="dev_"
)
READERS = ("role:analysts", "group:bi")
MASKED = "dev_game_analytics_masked_varchar_1024"
RULES = Rules(
    user="dbt",
    sees_masks=True,
    grants={"dev_marts.fct_bets": sorted(READERS)},
    masks={("dev_marts.fct_bets", "player_id"): Mask(MASKED, ("role:fraud", "user:dbt"))},
)
NO_EXPIRATIONS = Expirations()
MARKS = {"player_id": Mark.IDENTIFIER, "country": Mark.QUASI_IDENTIFIER}


def asset(
    location: str = "dev_marts.fct_bets",
    kind: Kind = "model",
    readers: Sequence[str] = READERS,
    name: str = "fct_bets",
) -> Asset:
    unique_id = f"source.game_analytics.game_events.{name}"
    prefix = "folder." if kind == "folder" else ""
    return Asset(f"{prefix}{unique_id}", name, kind, name, location=location, readers=readers)


def outcome(
    name: str,
    of: Asset | None = None,
    rules: Rules | None = RULES,
    settings: Settings = REDSHIFT,
    expirations: Expirations = NO_EXPIRATIONS,
    marks: Mapping[str, Mark] = MARKS,
) -> tuple[str, str]:
    """State and reason of the policy with this name."""
    found: list[Policy] = Protection(settings, rules, expirations).policies(of or asset(), marks)
    (policy,) = (one for one in found if one.name == name)
    assert policy.declared.endswith(".")
    assert not policy.reason.endswith(".")
    return policy.state, policy.reason


def test_a_mask_that_the_warehouse_has_is_enforced() -> None:
    state, reason = outcome("Masking")
    assert (state, reason) == (
        "enforced",
        "by a masking policy for everyone but `role:fraud`, `user:dbt`",
    )


@pytest.mark.parametrize(
    ("rules", "settings", "of", "state", "reason"),
    [
        (replace(RULES, masks={}), REDSHIFT, None, "not enforced", "no masking policy is attached"),
        (Rules(user="dbt"), REDSHIFT, None, "unknown", "user `dbt` may not see masking policies"),
        (None, REDSHIFT, None, "unknown", "the warehouse could not be read"),
        (
            replace(RULES, masks={("dev_marts.fct_bets", "player_id"): Mask("by_hand")}),
            *(REDSHIFT, None, "unknown"),
            "policy `by_hand`, which this package did not make, is attached",
        ),
        (
            Rules(user="dbt"),
            replace(REDSHIFT, unmasked_readers="everyone"),
            *(None, "not enforced", "the setting UNMASKED_READERS is everyone"),
        ),
        (RULES, REDSHIFT, asset("dev_staging.stg_bets"), "not enforced", "only the marts are"),
        (
            RULES,
            REDSHIFT,
            asset("s.bets", "external table"),
            "not enforced",
            "Redshift cannot mask",
        ),
        (None, Settings(), None, "not enforced", "DuckDB has no masking"),
    ],
    ids=[
        *("not_attached", "not_allowed", "unreadable", "by_hand"),
        *("setting", "staging", "external", "duckdb"),
    ],
)
def test_a_mask_that_is_missing_has_its_reason(
    rules: Rules | None, settings: Settings, of: Asset | None, state: str, reason: str
) -> None:
    found = outcome("Masking", of, rules, settings)
    assert found[0] == state
    assert found[1].startswith(reason)


def test_columns_with_different_outcomes_are_apart() -> None:
    marks = {"player_id": Mark.IDENTIFIER, "session_id": Mark.IDENTIFIER}
    found = Protection(REDSHIFT, RULES, Expirations()).policies(asset(), marks)
    assert [(p.columns, p.state) for p in found if p.name == "Masking"] == [
        (["player_id"], "enforced"),
        (["session_id"], "not enforced"),
    ]
    without = Protection(REDSHIFT, RULES, Expirations()).policies(asset(), {})
    assert [policy.name for policy in without] == ["Grants"]


@pytest.mark.parametrize(
    ("granted", "readers", "sees_all", "state", "reason"),
    [
        (READERS, READERS, False, "enforced", "by grants to `role:analysts`, `group:bi`"),
        ((), READERS[:1], True, "not enforced", "there is no grant to `role:analysts`"),
        ((), READERS[:1], False, "unknown", "user `dbt` sees no grant to `role:analysts`"),
        (READERS, READERS[:1], False, "not enforced", "`group:bi` may read it too"),
        (("user:rita",), ("rita",), False, "enforced", "by grants to `user:rita`"),
        (("public",), (), False, "enforced", "by grants to `public`"),
        ((), (), True, "enforced", "only its owner may read it"),
        ((), (), False, "unknown", "user `dbt` sees no grant, because"),
    ],
    ids=[
        *("granted", "missing", "hidden", "one_more"),
        *("plain_user", "by_default", "nobody", "nobody_seen"),
    ],
)
def test_grants_are_compared_with_the_warehouse(
    granted: Sequence[str], readers: Sequence[str], sees_all: bool, state: str, reason: str
) -> None:
    rules = replace(RULES, grants={"dev_marts.fct_bets": granted}, sees_all_grants=sees_all)
    found = outcome("Grants", asset(readers=readers), rules)
    assert found[0] == state
    assert found[1].startswith(reason)


def test_nothing_limits_readers_on_duckdb() -> None:
    state, reason = outcome("Grants", rules=None, settings=Settings())
    assert (state, reason.partition(":")[0]) == ("not enforced", "DuckDB has no users")
    assert outcome("Grants", rules=None) == ("unknown", "the warehouse could not be read")


def test_retention_is_enforced_by_a_rule_that_covers_the_whole_folder() -> None:
    folder = asset("raw_events/", "folder", name="raw_events")
    rules = {("old", "lake/ra"): 30, ("all", ""): 400, ("part", "lake/raw_events/year=2020/"): 1}
    assert outcome("Retention", folder, expirations=Expirations(rules)) == (
        "enforced",
        "by lifecycle rule `old`, which deletes files after 30 days",
    )
    part = Expirations({("part", "lake/raw_events/year=2020/"): 1})
    state, reason = outcome("Retention", folder, expirations=part)
    assert (state, reason[:17]) == ("not enforced", "no lifecycle rule")
    refused = Expirations(error="AccessDenied for the lifecycle rules of the bucket")
    assert outcome("Retention", folder, expirations=refused)[0] == "unknown"
    table = asset("dev_spectrum.raw_events", "external table", name="raw_events")
    assert outcome("Retention", table, settings=Settings()) == (
        "not enforced",
        "a folder has no lifecycle rule",
    )
    ledger = asset("players/", "folder", name="players")
    assert outcome("Retention", ledger, expirations=Expirations(rules))[0] == "not enforced"
    assert outcome("Retention")[1] == "nothing deletes rows of the warehouse by itself"


class Bucket:
    """A client whose bucket has these lifecycle rules."""

    def __init__(self, rules: Sequence[Mapping[str, Any]]) -> None:
        self.rules = rules

    def get_bucket_lifecycle_configuration(self, **_: str) -> dict[str, Any]:
        return {"Rules": self.rules}


def test_only_rules_that_delete_every_file_count(monkeypatch: pytest.MonkeyPatch) -> None:
    days = {"Expiration": {"Days": 30}, "Status": "Enabled"}
    bucket = Bucket(
        [
            {"ID": "old", "Filter": {"Prefix": "lake/a/"}, **days},
            {"ID": "plain", "Prefix": "lake/b/", **days},
            {"ID": "off", "Filter": {"Prefix": ""}, **days, "Status": "Disabled"},
            {"ID": "tag", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, **days},
            {"ID": "and", "Filter": {"And": {"Prefix": "lake/"}}, **days},
            {"ID": "versions", "Filter": {"Prefix": ""}, "Status": "Enabled"},
        ]
    )
    monkeypatch.setattr(module, "s3_client", lambda _: bucket)
    assert read_expirations(REDSHIFT).days == {("old", "lake/a/"): 30, ("plain", "lake/b/"): 30}
    assert read_expirations(Settings()) == Expirations()


class Answers:
    """A database that answers each query by the view that it reads."""

    def __init__(self, **rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def rows(self, sql: str, _: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        (view,) = (name for name in self._rows if f"from {name}" in sql)
        return self._rows[view]


def test_the_mask_for_everyone_with_the_highest_priority_counts() -> None:
    place = ("marts", "t", '["a"]')
    database: Any = Answers(
        pg_user=[("dbt", False)],
        svv_relation_privileges=[
            ("marts", "t", "user", "dbt"),
            ("marts", "t", "role", "dbt"),
            ("marts", "t", "public", "public"),
        ],
        svv_attached_masking_policy=[
            (*place, "weak", "public", "public", 5),
            (*place, "mask", "public", "public", 10),
            (*place, "plain", "role", "fraud", 20),
            (*place, "half", "role", "support", 7),
            ("marts", "t", '["b"]', "half", "role", "support", 7),
        ],
        svv_masking_policy=[("mask",)],
    )
    assert read_rules(database) == Rules(
        "dbt",
        sees_masks=True,
        grants={"marts.t": ["public", "role:dbt"]},
        masks={("marts.t", "a"): Mask("mask", ["role:fraud"])},
    )
