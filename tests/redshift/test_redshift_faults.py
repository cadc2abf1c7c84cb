"""The faults of Redshift, each in the build of one model.

The error must name the model and have a known remedy, the rows of the model must be those of the
build before, and a retry must make the rows that DuckDB makes. `test_redshift_dag.py` shows what
the DAG does with a fault.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq

from include.remedies import remedy
from include.settings import UserError
from tests.redshift_standin import Cluster, Fault
from tests.support.hand_lake import HandLake
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse, contents, described
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

PREFIX = "faults_"
FILES = {
    "stg_game_events": "models/staging/game_events/stg_game_events.sql",
    "int_events": "models/intermediate/int_events.sql",
}
"""The model that reads the lake, and the first one that reads its rows."""
INSERT = r"insert into .*faults_intermediate.*int_events"
CREATE = r"create temporary table.*int_events"
READ = r"create temporary table.*stg_game_events"


class Scene:
    """A built warehouse and one of the same lake on DuckDB."""

    def __init__(self, root: Path, bucket: Bucket, login: dict[str, str]) -> None:
        self.lake = HandLake(root / "lake")
        for day in range(1, 8):
            self.lake.event(f"2026-09-0{day}T10:00:00", user_id="p", session_id=f"s{day}")
        # Its type is unknown, so it is a row of fct_quarantined_rows, the only table that is
        # always made anew.
        bet = {"betid": "b", "playerid": "p", "gameid": "g", "txtype": "VOID", "realamount": "1"}
        others = {"bonusamount": "0", "txcurrency": "USD"}
        self.lake.table("game_transactions/date=2026-09-01/bets.parquet", [bet | others])
        self.bucket = bucket
        self.redshift = RedshiftWarehouse(bucket, login, schema_prefix=PREFIX)
        self.duckdb = Warehouse(self.lake.root, root, schema_prefix=PREFIX)
        self.count = 0
        self.write()
        for warehouse in (self.redshift, self.duckdb):
            warehouse.build(*WITHOUT_TESTS)

    def write(self) -> None:
        self.lake.write()
        self.bucket.mirror(self.lake.root)

    def arrive(self) -> None:
        """Add an event to a day with other events, and run the first step of a run."""
        self.count += 1
        folder = self.lake.root / "raw_events/year=2026/month=09/day=04"
        (folder / "part-0.parquet").rename(folder / f"part-{self.count}.parquet")
        self.lake.event(f"2026-09-04T11:00:{self.count:02}", user_id="new")
        self.write()
        self.redshift.find()

    def build(self, *models: str) -> str:
        """Build models, those of `FILES` if none is given; returns the message of one that failed.

        A model after one that failed is skipped.
        """
        failed = self.redshift.dbt(*WITHOUT_TESTS, "--select", *(models or FILES))
        assert set(failed) <= {*(models or FILES)}
        return "\n".join(failed.values())

    def rows(self, warehouse: Warehouse, table: str = "intermediate.int_events") -> list[str]:
        with warehouse.opened() as database:
            columns = described(database, PREFIX)
            return contents(database, PREFIX, {table: columns[table]})[table]

    def assert_repaired(self) -> None:
        """Fail unless the model has the rows that DuckDB makes of the same lake."""
        self.duckdb.find()
        assert self.duckdb.dbt(*WITHOUT_TESTS, "--select", *FILES) == {}
        assert self.rows(self.redshift) == self.rows(self.duckdb)


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory,
    login: Callable[[str], dict[str, str]],
    make_bucket: Callable[[], Bucket],
) -> Scene:
    return Scene(tmp_path_factory.mktemp("faults"), make_bucket(), login(PREFIX))


@pytest.mark.parametrize(
    ("model", "fault", "match", "message", "do"),
    [
        (
            "int_events",
            "serializable_conflict",
            INSERT,
            "1023",
            "another transaction wrote the same table",
        ),
        ("int_events", "disk_full", INSERT, "disk full", "the cluster is full"),
        (
            "int_events",
            "statement_timeout",
            INSERT,
            "cancelled on user's request",
            "raise the timeout",
        ),
        (
            "int_events",
            "permission_denied",
            CREATE,
            "permission denied",
            "bootstrap.sql grants what it needs",
        ),
        ("int_events", "drop_connection", INSERT, "", "the connection to the warehouse was lost"),
        ("int_events", "drop_connection", CREATE, "", "the connection to the warehouse was lost"),
        (
            "stg_game_events",
            "file_vanishes",
            READ,
            "Spectrum Scan Error",
            "a file of the lake was deleted",
        ),
    ],
)
def test_a_fault_leaves_the_old_rows_and_a_retry_makes_the_new_ones(
    scene: Scene, cluster: Cluster, model: str, fault: str, match: str, message: str, do: str
) -> None:
    scene.arrive()
    before = scene.rows(scene.redshift)
    cluster.inject(Fault(match, fault))
    error = scene.build()
    assert f"model {model} ({FILES[model]})" in error
    assert message.lower() in error.lower()
    assert do in (remedy(error) or "no remedy"), error
    assert scene.rows(scene.redshift) == before
    assert scene.build() == ""
    assert scene.rows(scene.redshift) != before
    scene.assert_repaired()


@pytest.mark.parametrize(
    ("fault", "match", "do"),
    [
        ("serializable_conflict", "alter table .*{}__dbt_tmp. rename", "wrote the same table"),
        ("disk_full", "insert into .*{}__dbt_tmp", "the cluster is full"),
        ("statement_timeout", "insert into .*{}__dbt_tmp", "raise the timeout"),
        (
            "permission_denied",
            r"create\s+table\s+\S*{}__dbt_tmp",
            "bootstrap.sql grants what it needs",
        ),
    ],
)
def test_a_fault_at_a_table_leaves_its_old_rows(
    scene: Scene, cluster: Cluster, fault: str, match: str, do: str
) -> None:
    model = "fct_quarantined_rows"
    before = scene.rows(scene.redshift, f"marts.{model}")
    assert before
    cluster.inject(Fault(match.format(model), fault))
    error = scene.build(model)
    assert f"model {model} (models/marts/data_health/{model}.sql)" in error
    assert do in (remedy(error) or "no remedy"), error
    assert scene.rows(scene.redshift, f"marts.{model}") == before
    assert scene.build(model) == ""
    assert scene.rows(scene.redshift, f"marts.{model}") == before


def test_expired_credentials_in_the_middle(scene: Scene, cluster: Cluster) -> None:
    scene.arrive()
    before = scene.rows(scene.redshift)
    cluster.inject(Fault("dbt", "expired_credentials", times=50))
    try:
        error = scene.build()
    except Exception as broke:  # noqa: BLE001
        error = str(broke)
    finally:
        cluster.control.clear_faults()
    assert "correct the secret of the connection" in (remedy(error) or "no remedy"), error
    assert scene.rows(scene.redshift) == before
    assert scene.build() == ""
    scene.assert_repaired()


def test_a_file_of_another_type_is_named_before_any_model_reads_it(scene: Scene) -> None:
    wrong = "raw_events/year=2026/month=09/day=04/wrong.parquet"
    path = scene.lake.root / wrong
    good = pq.read_table(next(path.parent.glob("part-*.parquet")))
    text = good.column("event_timestamp").cast(pa.string())
    table = good.set_column(good.column_names.index("event_timestamp"), "event_timestamp", text)
    pq.write_table(table, path)
    scene.bucket.mirror(scene.lake.root)
    with pytest.raises(UserError, match=rf"{wrong}: column event_timestamp is string.*compact"):
        scene.redshift.find()
    # The model finds a file that arrives after the listing.
    path.rename(scene.lake.root.parent / "wrong.parquet")
    scene.bucket.mirror(scene.lake.root)
    scene.arrive()
    before = scene.rows(scene.redshift)
    shutil.move(scene.lake.root.parent / "wrong.parquet", path)
    scene.bucket.mirror(scene.lake.root)
    error = scene.build()
    assert "model stg_game_events" in error
    assert "partitions and its downstream, whose error names the file" in (remedy(error) or error)
    with pytest.raises(UserError, match=f"{wrong}: column event_timestamp is string"):
        scene.redshift.find()
    assert scene.rows(scene.redshift) == before
    path.unlink()
    scene.bucket.mirror(scene.lake.root)
    assert scene.build() == ""
    scene.assert_repaired()


def test_in_the_end_every_table_is_what_duckdb_makes(scene: Scene) -> None:
    scene.redshift.build(*WITHOUT_TESTS)
    scene.duckdb.build(*WITHOUT_TESTS)
    with scene.redshift.opened() as one, scene.duckdb.opened() as other:
        columns = described(other, PREFIX)
        assert contents(one, PREFIX, columns) == contents(other, PREFIX, columns)
