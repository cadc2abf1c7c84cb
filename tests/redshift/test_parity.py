"""One lake through both engines: every table has the same rows, digits and types."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from include.lake.sample.sample import Sample, write_sample
from include.manifest import PROJECT
from include.remedies import remedy
from include.settings import UserError
from include.warehouse import build_lock, redshift
from tests.redshift_standin import Cluster
from tests.support.hand_lake import HandLake
from tests.support.hostile_lake import write_hostile
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse, contents, described
from tests.support.warehouse import WITHOUT_TESTS, Warehouse, environment

Login = Callable[[str], dict[str, str]]

INCREMENTAL = ("--select", "+config.materialized:incremental")
"""The arguments of a build of all that keeps rows of earlier builds, and of what that reads."""
TESTS_OF_KEYS = (
    "int_bet_reversals__unique_combination_of_columns",
    "fct_bets__never_null",
    "assert_ggr_by_game_equals_by_player",
)
SAMPLE = Sample(days=12, players=40, seed=11, end=date(2026, 9, 20))


class Pair:
    """A lake with a warehouse on each engine."""

    def __init__(self, root: Path, login: Login, bucket: Bucket, prefix: str) -> None:
        self.lake = root / "lake"
        settings = {"schema_prefix": prefix, "readers": "role:analysts,group:bi,user:rita"}
        self.duckdb = Warehouse(self.lake, root, schema_prefix=prefix)
        self.redshift = RedshiftWarehouse(bucket, login(prefix), **settings)
        self.bucket = bucket

    def build(self, *arguments: str) -> None:
        """Do a run on each engine; both must find the same days."""
        self.bucket.mirror(self.lake)
        on_duckdb = self.duckdb.build(*WITHOUT_TESTS, *arguments)
        assert self.redshift.build(*WITHOUT_TESTS, *arguments) == on_duckdb

    def compare(self, scenario: str) -> None:
        """Print a line per table, and fail if one differs."""
        prefix = self.duckdb.settings.schema_prefix
        with self.duckdb.opened() as duckdb, self.redshift.opened() as redshift:
            columns = described(duckdb, prefix)
            assert described(redshift, prefix) == columns
            expected = contents(duckdb, prefix, columns)
            found = contents(redshift, prefix, columns)
        faults = []
        for table, rows in sorted(expected.items()):
            same = found[table] == rows
            print(f"{scenario:28} {table:40} {len(rows):7} {'yes' if same else 'NO'}")
            if not same:
                faults += [f"{table} only DuckDB:   {r}" for r in _more(rows, found[table])]
                faults += [f"{table} only Redshift: {r}" for r in _more(found[table], rows)]
        assert not faults, "\n".join(faults)


def _write_bets(lake: Path, day: int, file: str, *rows: tuple[str, str, int]) -> None:
    """Write a file of bets in GBP, of which each row has its bet, type and amount."""
    about = {"txcurrency": "GBP", "gameid": "own", "playerid": "l"}
    HandLake(lake).table(
        f"game_transactions/date=2026-09-{day:02}/{file}.csv",
        [
            {**about, "betid": bet, "txtype": kind, "realamount": amount}
            for bet, kind, amount in rows
        ],
    )


def _more(rows: list[str], others: list[str]) -> list[str]:
    """The first few rows that are missing in the others."""
    known = set(others)
    return [row[:2000] for row in rows if row not in known][:4] or ["(other counts)"]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    login: Login,
    make_bucket: Callable[[], Bucket],
) -> Pair:
    with cluster.superuser() as superuser, superuser.cursor() as cursor:
        cursor.execute(
            "create role bi; create role bo login password 'Bo-of-the-group-1' in role bi"
        )
        cursor.execute("create role rita login password 'Rita-the-reader-1'")
    pair = Pair(tmp_path_factory.mktemp("parity"), login, make_bucket(), "parity_")
    write_sample(pair.lake, SAMPLE)
    write_hostile(pair.lake)
    _write_bets(pair.lake, 10, "own", ("w1", "WAGER", 5), ("w2", "WAGER", 6), ("w3", "WAGER", 7))
    _write_bets(pair.lake, 16, "own", ("w4", "ROLLBACK", 8), ("w3", "ROLLBACK", 7))
    # All files of one day arrive late.
    late = pair.lake / "raw_events/year=2026/month=09/day=15"
    shutil.move(late, pair.lake.parent / "late")
    return pair


def test_a_first_build(pair: Pair) -> None:
    pair.build()
    pair.compare("first build")


def test_every_unit_test_of_dbt_passes_on_redshift(pair: Pair) -> None:
    results = pair.redshift.unit_tests()
    assert len(results) > 40
    assert {name: message for name, message in results.items() if message != "pass"} == {}


def test_analysts_read_the_marts_and_nothing_else(pair: Pair, cluster: Cluster) -> None:
    with cluster.superuser() as superuser, superuser.cursor() as cursor:
        cursor.execute("create role ann login password 'Ann-the-analyst-1' in role analysts")
    login = pair.redshift.variables | {
        "REDSHIFT_USERNAME": "ann",
        "REDSHIFT_PASSWORD": "Ann-the-analyst-1",
    }
    with environment(login), redshift.connected() as database:
        assert database.rows("select count(*) from parity_marts.rpt_daily_kpis") != [(0,)]
        assert database.rows("select count(*) from parity_reference.event_types") != [(0,)]
        for hidden in (
            *("intermediate.int_events", "staging.stg_game_events", "spectrum.raw_events"),
            *("snapshots.snap_ledger_players", "operations.run_days"),
        ):
            with pytest.raises(UserError, match="permission denied"):
                database.rows(f"select count(*) from parity_{hidden} where 1 = 0")
        with pytest.raises(UserError, match="permission denied"):
            database.execute("delete from parity_marts.rpt_daily_kpis")


@pytest.mark.parametrize("user", ["bo:Bo-of-the-group-1", "rita:Rita-the-reader-1"])
def test_readers_read_the_marts(pair: Pair, user: str) -> None:
    name, _, password = user.partition(":")
    login = pair.redshift.variables | {"REDSHIFT_USERNAME": name, "REDSHIFT_PASSWORD": password}
    with environment(login), redshift.connected() as database:
        assert database.rows("select count(*) from parity_marts.rpt_daily_kpis") != [(0,)]
        with pytest.raises(UserError, match="permission denied"):
            database.rows("select count(*) from parity_intermediate.int_events where 1 = 0")


def test_a_second_run_with_nothing_new(pair: Pair) -> None:
    pair.build(*INCREMENTAL)
    pair.compare("second run")


def test_late_events_and_a_day_that_goes(pair: Pair) -> None:
    shutil.move(pair.lake.parent / "late", pair.lake / "raw_events/year=2026/month=09/day=15")
    shutil.rmtree(pair.lake / "raw_events/year=2026/month=09/day=11")
    shutil.rmtree(pair.lake / "game_transactions/date=2026-09-12")
    pair.build()
    pair.compare("late day, day gone")


def test_bets_and_a_rate_that_change_other_days(pair: Pair) -> None:
    def bets() -> list[tuple[object, ...]]:
        with pair.duckdb.opened() as duckdb:
            return duckdb.rows(
                "select bet_date, turnover, winnings, unsettled_wager_count "
                "from parity_marts.rpt_betting where game_id = 'own' order by 1"
            )

    before = bets()
    _write_bets(pair.lake, 17, "late", ("w1", "ROLLBACK", 5), ("w2", "RESULT", 4))
    _write_bets(pair.lake, 9, "late", ("w4", "WAGER", 8))
    _write_bets(pair.lake, 10, "again", ("w3", "WAGER", 7))
    rate = {"date": "2026-09-10", "currency": "GBP", "baserateeuro": "1.95"}
    HandLake(pair.lake).table("currency_exchange/late.csv", [rate])
    pair.bucket.mirror(pair.lake)
    for warehouse in (pair.duckdb, pair.redshift):
        warehouse.find()
        assert warehouse.dbt(*WITHOUT_TESTS, *INCREMENTAL) == {}
        # These tests read only the rows of the keys that are built.
        assert warehouse.dbt("--resource-type", "test", "--select", *TESTS_OF_KEYS) == {}
        warehouse.record()
    pair.compare("late bets, late rate")
    # No row of September 16 is new, but its rollback now has the wager that it takes back.
    changed = {str(row[0]) for row in bets() if row not in before}
    assert changed >= {"2026-09-09", "2026-09-10", "2026-09-16", "2026-09-17"}


def test_a_full_refresh_while_its_lock_is_renewed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_lock, "RENEW_SECONDS", 0.2)
    lost: list[str] = []
    pair.bucket.mirror(pair.lake)
    pair.duckdb.build(*WITHOUT_TESTS, "--full-refresh")
    pair.redshift.find()
    with (
        environment(pair.redshift.variables),
        build_lock.renewed(pair.redshift.settings, "", lost.append),
    ):
        assert pair.redshift.dbt(*WITHOUT_TESTS, "--full-refresh") == {}
    pair.redshift.record(full_refresh=True)
    assert lost == []
    for model in ("staging.stg_game_events", "intermediate.int_bets"):
        compiled = pair.redshift.compiled[f"parity_{model}"]
        assert "between '0000' and '9999'" in compiled, "a renewal made it incremental"
    pair.compare("full refresh")


def test_days_in_another_order(
    pair: Pair, tmp_path: Path, login: Login, make_bucket: Callable[[], Bucket]
) -> None:
    other = Pair(tmp_path, login, make_bucket(), "backwards_")
    shutil.copytree(pair.lake, other.lake, ignore=shutil.ignore_patterns("raw_events"))
    days = sorted((pair.lake / "raw_events").glob("*/*/*"))
    # The last third, the first, then the middle. Only the last build makes the tables as well,
    # which no earlier build can change.
    third = len(days) // 3
    last = days[third : 2 * third]
    for part in (days[2 * third :], days[:third], last):
        for day in part:
            shutil.copytree(day, other.lake / day.relative_to(pair.lake))
        other.build(*(INCREMENTAL if part is not last else ()))
    other.compare("days in another order")
    with pair.duckdb.opened() as one, other.duckdb.opened() as two:
        columns = described(one, "parity_")
        assert contents(one, "parity_", columns) == contents(two, "backwards_", columns)


def test_a_column_is_added_to_a_source_and_a_model(pair: Pair, tmp_path: Path) -> None:
    """Rows of earlier runs would lack the column's values, so only a full refresh succeeds."""
    project = tmp_path / "dbt"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    _add_column(project)
    lake = HandLake(pair.lake)
    lake.event("2026-09-21T10:00:00", user_id="new")
    lake.write()
    new = pair.lake / "raw_events/year=2026/month=09/day=21/part-0.parquet"
    pq.write_table(pq.read_table(new).append_column("server_region", pa.array(["eu"])), new)
    for warehouse in (pair.duckdb, pair.redshift):
        warehouse.project = project
    pair.bucket.mirror(pair.lake)
    for warehouse in (pair.duckdb, pair.redshift):
        warehouse.find()
        failed = warehouse.dbt(*WITHOUT_TESTS)
        assert failed.keys() == {"stg_game_events"}
        assert "full_refresh" in (remedy(failed["stg_game_events"]) or "")
    pair.build("--full-refresh")
    pair.compare("a column more")
    with pair.redshift.opened() as redshift:
        regions = redshift.rows(
            "select distinct server_region from parity_intermediate.int_events order by 1"
        )
        assert regions == [("eu",), (None,)]
        columns = redshift.rows(
            "select columnname from svv_external_columns "
            "where schemaname = 'parity_spectrum' and tablename = 'raw_events'"
        )
        assert ("server_region",) in columns


def _add_column(project: Path) -> None:
    """Change the project so that a source and two models have one more column."""
    staging = project / "models/staging/game_events"
    sources = staging / "game_events__sources.yml"
    declared = yaml.safe_load(sources.read_text())
    declared["sources"][0]["tables"][0]["columns"].insert(
        10, {"name": "server_region", "data_type": "varchar(64)"}
    )
    sources.write_text(yaml.safe_dump(declared, sort_keys=False))
    for path, columns in (
        (
            staging / "stg_game_events.sql",
            (
                "        app_version,\n",
                "        nullif({{ trimmed_column('app_version') }}, '') as app_version,\n",
            ),
        ),
        (
            project / "models/intermediate/int_events.sql",
            ("        first_arrivals.app_version,\n",),
        ),
    ):
        sql = path.read_text()
        for column in columns:
            assert column in sql
            sql = sql.replace(column, f"{column}        server_region,\n")
        path.write_text(sql)
