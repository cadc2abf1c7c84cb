"""Which columns are masked, and which cannot be. tests/redshift has the masking itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.masking import identifiers, policy_name, prepare_masking

SETTINGS = Settings(
    target="redshift", lake="s3://studio/lake", unmasked_readers="nobody", schema_prefix="dev_"
)


def manifest(data_type: str | None, schema: str = "marts", mark: str = "identifier") -> Manifest:
    column = {
        "name": "Player_ID",
        "data_type": data_type,
        "config": {"meta": {"personal_data": mark}},
    }
    node = {
        "name": "fct_bets",
        "alias": "FCT_Bets",
        "resource_type": "model",
        "config": {"schema": schema},
        "columns": {"player_id": column, "day": {"name": "day", "config": {"meta": {}}}},
    }
    return Manifest({"nodes": {"model.game_analytics.fct_bets": node}})


class Empty:
    """A database whose user is `dbt`, with the rows of these views and without any others.

    Statements are listed and do nothing.
    """

    def __init__(self, **views: list[tuple[Any, ...]]) -> None:
        self.statements: list[str] = []
        self.views = views

    def rows(self, sql: str, _: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if sql == "select current_user":
            return [("dbt",)]
        (view,) = re.findall(r"from (?:information_schema\.)?(\w+)", sql)
        return self.views.get(view, [])

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()

    def execute(self, sql: str, _: Sequence[Any] = ()) -> None:
        self.statements.append(sql)


def test_only_identifiers_of_the_marts_are_masked() -> None:
    (one,) = identifiers(manifest("VARCHAR(64)"))
    assert (one.table, one.column, one.data_type) == ("fct_bets", "player_id", "varchar(64)")
    assert policy_name(SETTINGS, "masked", one.data_type) == "dev_game_analytics_masked_varchar_64"
    assert identifiers(manifest("varchar(64)", "intermediate")) == []
    assert identifiers(manifest("varchar(64)", mark="quasi_identifier")) == []


def test_no_other_schema_with_readers_has_an_identifier() -> None:
    """`include/aws/bootstrap.sql` grants the schema `reference` to analysts."""
    read = Manifest.read()
    assert {one.table for one in identifiers(read)} >= {"fct_bets", "fct_sessions", "dim_players"}
    marks = [
        (column["config"].get("meta") or {}).get("personal_data")
        for node in read.nodes.values()
        if node.get("config", {}).get("schema") == "reference"
        for column in node["columns"].values()
    ]
    assert marks
    assert "identifier" not in marks


@pytest.mark.parametrize("data_type", ["bigint", "varchar(31)", "varchar", None])
def test_an_identifier_that_cannot_hold_a_hash_is_refused(data_type: str | None) -> None:
    database: Any = Empty()
    with pytest.raises(UserError, match=r"column player_id of mart fct_bets .*varchar\(32\)"):
        prepare_masking(database, SETTINGS, manifest(data_type))
    assert database.statements == []


def test_a_user_who_does_not_see_the_policies_is_refused() -> None:
    database: Any = Empty()
    with pytest.raises(UserError, match="run `grant role sys:secadmin to dbt` as a superuser"):
        prepare_masking(database, SETTINGS, manifest("varchar(64)"))
    made = [statement.split(" with ")[0] for statement in database.statements]
    assert made == [
        f'create masking policy "dev_game_analytics_{kind}_varchar_64"'
        for kind in ("masked", "unmasked")
    ]


POLICIES = [
    (f"dev_game_analytics_{kind}_varchar_{length}", "x")
    for kind in ("masked", "unmasked")
    for length in (64, 128)
]


@pytest.mark.parametrize(("length", "attached"), [(64, 2), (128, 0)])
def test_a_column_is_masked_once_its_table_has_the_declared_type(
    length: int, attached: int
) -> None:
    """The policy for 64 characters fits no other column. dbt makes the table again in this run."""
    old = ("dev_game_analytics_masked_varchar_128", "fct_bets", "public", "public")
    database: Any = Empty(
        columns=[("fct_bets", "player_id", length), ("fct_bets", "day", None)],
        svv_masking_policy=POLICIES,
        svv_attached_masking_policy=[(*old, '["player_id"]', 10)] if length == 128 else [],
    )
    prepare_masking(database, SETTINGS, manifest("varchar(64)"))
    assert len(database.statements) == attached


def test_nothing_is_done_on_duckdb_and_with_the_default() -> None:
    database: Any = Empty()
    prepare_masking(database, Settings(unmasked_readers="nobody"), manifest("bigint"))
    prepare_masking(database, replace(SETTINGS, unmasked_readers="everyone"), manifest("bigint"))
    assert database.statements == []
