"""A failed export of the ledger's players does not end their histories."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.settings import UserError
from tests.support.hand_lake import LEDGER_COLUMNS, HandLake, Row
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

SELECTED = (*WITHOUT_TESTS, "--select", "+snap_ledger_players+")


def test_the_history_of_players_survives_a_failed_export(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    exported = lake.root / "players/p.csv"

    def export(*ids: str) -> None:
        lake.table("players/p.csv", [{"playerid": name, "country": "SE"} for name in ids])

    def build(warehouse: Warehouse) -> None:
        warehouse.find()
        assert warehouse.dbt(*SELECTED) == {}
        warehouse.record()

    def history() -> list[Row]:
        return warehouse.query(
            "select player_id, dbt_valid_from, dbt_valid_to from snapshots.snap_ledger_players "
            "order by all"
        )

    export("p1", "p2", "p3")
    warehouse = Warehouse(lake.root, tmp_path)
    build(warehouse)
    before = history()
    assert [row["dbt_valid_to"] for row in before] == [None] * 3

    export("p1")
    with pytest.raises(UserError, match="players had 3 keys and has 1"):
        build(warehouse)
    exported.write_text(",".join(LEDGER_COLUMNS["players"]) + "\n")
    with pytest.raises(UserError, match="players had 3 keys and has 0"):
        build(warehouse)
    exported.unlink()
    with pytest.raises(UserError, match="players had 1 file and has 0"):
        build(warehouse)
    export("p1", "p2", "p3")
    build(warehouse)
    assert history() == before

    export("p1")
    build(Warehouse(lake.root, tmp_path, allow_lost_rows="1"))
    ended = {row["player_id"]: row["dbt_valid_to"] is not None for row in history()}
    assert ended == {"p1": False, "p2": True, "p3": True}
    build(warehouse)
