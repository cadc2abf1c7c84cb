"""The sample is reproducible, and has an example of each kind of data that studios send."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow.parquet as pq

from include.lake.__main__ import main
from include.lake.landing.envelope import DAY, RejectedLineError, parse_line
from include.lake.sample.sample import Sample, event_batches, ledger_files, write_sample, yesterday
from include.settings import ROOT, UserError

SAMPLE = Sample(days=12, players=60, seed=7, end=date(2026, 9, 30))


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    rows = []
    for _, arrived_at, lines in event_batches(SAMPLE):
        for line in lines.splitlines():
            try:
                row: dict[str, Any] = parse_line(line, arrived_at)
            except RejectedLineError:
                continue
            data = json.loads(row["event_data"] or "{}")
            row["data"] = data if isinstance(data, dict) else {}
            row["arrived_at"] = arrived_at
            rows.append(row)
    return rows


@pytest.fixture(scope="module")
def valid(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        row
        for row in events
        if row["event_id"]
        and row["event_type"]
        and row["application_id"]
        and 0 < (row["event_timestamp"] or 0) <= row["arrived_at"] + DAY
    ]


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "_landing" not in path.parts
    }


def test_an_equal_sample_has_equal_bytes_and_adds_no_rows(tmp_path: Path) -> None:
    small = Sample(days=4, players=8, seed=3, end=date(2026, 9, 30))
    for lake in ("one", "two"):
        write_sample(tmp_path / lake, small)
    first = content(tmp_path / "one")
    assert first == content(tmp_path / "two")
    again = write_sample(tmp_path / "one", small)
    assert all(landing.landed_before for landing in again)
    assert first == content(tmp_path / "one")
    other = Sample(days=4, players=8, seed=4, end=date(2026, 9, 30))
    assert dict(zip("abc", event_batches(small), strict=False)) != dict(
        zip("abc", event_batches(other), strict=False)
    )


def test_another_span_leaves_one_file_per_ledger_day(tmp_path: Path) -> None:
    for end in (date(2026, 9, 29), date(2026, 9, 30)):
        write_sample(tmp_path, Sample(days=4, players=5, seed=3, end=end))
    folders = list((tmp_path / "game_transactions").iterdir())
    assert len(folders) == 5
    assert all(len(list(folder.iterdir())) == 1 for folder in folders)


def test_every_event_type_of_the_tracking_plan_occurs(valid: list[dict[str, Any]]) -> None:
    types = Counter(row["event_type"] for row in valid)
    with (ROOT / "dbt/seeds/event_types.csv").open() as file:
        known = {row["event_type"] for row in csv.DictReader(file)}
    assert known - set(types) == set()
    assert set(types) - known == {"pet_adopted"}
    assert {row["application_id"] for row in valid} == {"aurora-quest", "borealis-arena"}


def test_retention_decays_and_is_neither_none_nor_all(valid: list[dict[str, Any]]) -> None:
    days: dict[str, set[int]] = {}
    for row in valid:
        if row["data"].get("user_id"):
            days.setdefault(row["data"]["user_id"], set()).add(row["event_timestamp"] // DAY)
    last = (SAMPLE.end - date(1970, 1, 1)).days
    rates = []
    for age in (1, 3, 7):
        mature = [active for active in days.values() if min(active) + age <= last]
        rates.append(sum(min(active) + age in active for active in mature) / len(mature))
    assert 0 < rates[2] < rates[0] < 0.8


def test_late_duplicate_and_faulty_events_occur(
    events: list[dict[str, Any]], valid: list[dict[str, Any]]
) -> None:
    lateness = Counter(row["arrived_at"] // DAY - row["event_timestamp"] // DAY for row in valid)
    assert lateness[0] > 0.9 * len(valid)
    assert lateness[1] > 0
    assert lateness[3] > 0
    assert sum(count for days, count in lateness.items() if days >= 8) > 0
    ids: dict[str, list[dict[str, Any]]] = {}
    for row in valid:
        ids.setdefault(row["event_id"], []).append(row)
    repeated = [rows for rows in ids.values() if len(rows) > 1]
    assert any(a["event_data"] == b["event_data"] for a, b, *_ in repeated)
    assert any(a["event_data"] != b["event_data"] for a, b, *_ in repeated)
    assert any(abs(a["event_timestamp"] - b["event_timestamp"]) == DAY for a, b, *_ in repeated)
    raw = {json.loads(row["metadata"]).get("raw_event_timestamp") for row in events}
    assert {"null", '"2026-09-01T12:00:00Z"'} <= raw
    assert any(row["event_id"] is None for row in events)
    assert any(row["event_timestamp"] == 0 for row in events)
    assert any((row["event_timestamp"] or 0) > 10**12 for row in events)
    assert any("unknown_fields" in row["metadata"] for row in events)


def test_sessions_of_every_kind_occur(valid: list[dict[str, Any]]) -> None:
    known = Counter(
        ("user_id" in row["data"] or "player_id" in row["data"], "session_id" in row["data"])
        for row in valid
    )
    assert set(known) == {(True, True), (True, False), (False, True), (False, False)}
    days: dict[str, set[int]] = {}
    for row in valid:
        if "session_id" in row["data"]:
            days.setdefault(row["data"]["session_id"], set()).add(row["event_timestamp"] // DAY)
    spans = Counter(len(span) for span in days.values())
    assert spans[2] > 0
    assert max(spans) >= 3


def test_purchases_refunds_and_balances_are_consistent(valid: list[dict[str, Any]]) -> None:
    purchases = [row["data"] for row in valid if row["event_type"] == "iap_transaction"]
    assert {"YEN", "RMB", "USD", "EUR"} <= {data.get("currency_type", "") for data in purchases}
    assert any(
        float(data.get("currency_amount", 1)) == 0 for data in purchases if "item_id" in data
    )
    when = {
        row["data"]["transaction_id"]: row["event_timestamp"] // DAY
        for row in valid
        if row["event_type"] == "iap_transaction" and "transaction_id" in row["data"]
    }
    refunds = [row for row in valid if row["event_type"] == "iap_refund"]
    assert any(
        when.get(row["data"]["transaction_id"], 10**9) < row["event_timestamp"] // DAY
        for row in refunds
    )
    # Events that arrive after the sample are missing, so a few balances do not add up.
    balance: dict[str, int] = {}
    consistent = 0
    for row in sorted(valid, key=lambda row: row["event_timestamp"]):
        flow = row["data"]
        if row["event_type"] != "currency_flow":
            continue
        change = flow["amount"] if flow["direction"] == "source" else -flow["amount"]
        player = flow.get("user_id") or flow["player_id"]
        consistent += balance.get(player, 0) + change == flow["balance"]
        balance[player] = flow["balance"]
        assert flow["balance"] >= 0
    assert consistent > 0.95 * sum(row["event_type"] == "currency_flow" for row in valid)
    variants: dict[tuple[str, str], set[str]] = {}
    for row in valid:
        if row["event_type"] == "experiment_exposure":
            player = row["data"].get("user_id") or row["data"]["player_id"]
            experiment = row["data"]["experiment_id"]
            variants.setdefault((experiment, player), set()).add(row["data"]["variant"])
    assert Counter(len(seen) for seen in variants.values())[2] == 1


def test_each_day_rejects_its_broken_lines(tmp_path: Path) -> None:
    landings = write_sample(tmp_path, Sample(days=3, players=4, seed=1, end=date(2026, 9, 3)))
    assert [landing.rejected for landing in landings] == [5, 5, 5]
    assert [landing.arrived_at % DAY for landing in landings] == [DAY - 1] * 3


def test_the_ledger_has_every_case() -> None:
    files = {name: text for name, _, text in ledger_files(SAMPLE)}
    transactions = []
    for name, text in files.items():
        if name.startswith("game_transactions/"):
            if name.endswith(".csv"):
                rows = list(csv.DictReader(io.StringIO(text.decode())))
                assert all("," in row["realamount"] for row in rows)
            elif name.endswith(".jsonl"):
                rows = [json.loads(line) for line in text.splitlines()]
            else:
                rows = pq.read_table(io.BytesIO(text)).to_pylist()
            transactions += rows
    assert {name.rsplit(".", 1)[1] for name in files if name.startswith("game_t")} == {
        "csv",
        "jsonl",
        "parquet",
    }
    wagers = {row["betid"] for row in transactions if row["txtype"] == "WAGER"}
    results = {row["betid"] for row in transactions if row["txtype"] == "RESULT"}
    assert results - wagers
    assert wagers - results
    assert {row["txcurrency"] for row in transactions} == {"EUR", "USD", "GBP", "SEK"}
    assert any(
        row["realamount"] == row["bonusamount"] == "0.00" and row["txtype"] == "WAGER"
        for row in transactions
    )
    games = list(csv.DictReader(io.StringIO(files["games/generated.csv"].decode())))
    with_category = csv.DictReader(io.StringIO(files["game_categories/generated.csv"].decode()))
    assert len({row["id"] for row in games} - {row["game_id"] for row in with_category}) == 1
    players = pq.read_table(io.BytesIO(files["players/generated.parquet"])).to_pylist()
    assert max(Counter(row["playerid"] for row in players).values()) > 1
    assert {row["birthdate"].isdigit() for row in players} == {True, False}
    spend = csv.DictReader(io.StringIO(files["marketing_spend/generated.csv"].decode()))
    assert {row["currency"] for row in spend} == {"EUR", "USD"}


@pytest.mark.parametrize("missing_rate", [False, True])
def test_rates_are_missing_only_if_the_sample_asks_for_it(missing_rate: bool) -> None:
    sample = Sample(SAMPLE.days, SAMPLE.players, SAMPLE.seed, SAMPLE.end, missing_rate)
    files = {name: text for name, _, text in ledger_files(sample)}
    text = files["currency_exchange/generated.csv"].decode()
    there = {(row["date"], row["currency"]) for row in csv.DictReader(io.StringIO(text))}
    wanted = {
        (f"{sample.first + timedelta(days=day)}", currency)
        for day in range(sample.days)
        for currency in ("EUR", "USD", "GBP", "SEK", "JPY", "CNY")
    }
    missing = wanted - there
    assert {currency for _, currency in missing} == ({"SEK"} if missing_rate else set())
    assert len(missing) == (10 if missing_rate else 0)


def test_the_command_writes_the_sample_and_reports_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAME_ANALYTICS_LAKE", str(tmp_path / "lake"))
    arguments = ["lake", "generate", "--days", "2", "--players", "3", "--seed", "1"]
    monkeypatch.setattr("sys.argv", arguments)
    assert main() == 0
    out = capsys.readouterr().out
    for folder in ("raw_events", "rejected_events", "game_transactions", "marketing_spend"):
        assert folder in out
    assert (tmp_path / "lake" / "game_transactions" / f"date={yesterday()}").is_dir()
    monkeypatch.setattr("sys.argv", [*arguments, "--end", "2999-01-01"])
    assert main() == 1
    assert "past day" in capsys.readouterr().err


def test_a_sample_that_ends_in_the_future_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="past day"):
        write_sample(tmp_path, Sample(1, 1, 1, yesterday() + timedelta(days=1)))
    assert list(tmp_path.iterdir()) == []
