"""Masking on the stand-in: readers of the marts read hashes of identifiers from the commit on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.manifest import Manifest
from include.settings import UserError
from include.site.catalog.rules import read_rules
from include.warehouse import redshift
from include.warehouse.masking import Identifier, identifiers
from tests.redshift_standin import Cluster, Fault
from tests.support.hand_lake import HandLake
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse
from tests.support.warehouse import WITHOUT_TESTS, environment

PREFIX = "masks_"
SELECTED = (*WITHOUT_TESTS, "--select", "+fct_sessions +fct_player_days")
MASKED = re.compile("[0-9a-f]{32}")
READER, AUDITOR = ("mia", "Mia-the-analyst-1"), ("finn", "Finn-of-fraud-1")


class Masked:
    """A warehouse whose identifiers are masked for everyone but the role `fraud`."""

    def __init__(self, root: Path, login: Callable[[str], dict[str, str]], bucket: Bucket) -> None:
        self.lake, self.bucket, self.login = root / "lake", bucket, login(PREFIX)
        self.hand = HandLake(self.lake)
        self.redshift = self.with_setting("role:fraud")

    def with_setting(self, unmasked_readers: str) -> RedshiftWarehouse:
        return RedshiftWarehouse(
            self.bucket,
            self.login,
            schema_prefix=PREFIX,
            readers="role:analysts,group:masked_bi",
            unmasked_readers=unmasked_readers,
        )

    def build(self, at: str, *arguments: str, player: str = "p1") -> None:
        self.hand.event(at, user_id=player, event_id=at, session_id=f"s-{player}")
        self.hand.write()
        self.bucket.mirror(self.lake)
        self.redshift.find()
        assert self.redshift.dbt(*SELECTED, *arguments) == {}

    def read(self, user: tuple[str, str], sql: str) -> list[tuple[object, ...]]:
        name, password = user
        login = {"REDSHIFT_USERNAME": name, "REDSHIFT_PASSWORD": password}
        with environment(self.redshift.variables | login), redshift.connected() as database:
            return database.rows(sql)

    def players(self, user: tuple[str, str], table: str = "fct_sessions") -> set[str]:
        return {str(p) for (p,) in self.read(user, f"select player_id from masks_marts.{table}")}

    def attached(self) -> set[tuple[str, str, str, str]]:
        with self.redshift.opened() as database:
            return {
                (str(table), column, str(kind), str(grantee))
                for table, kind, grantee, columns in database.rows(
                    "select table_name, grantee_type, grantee, output_columns "
                    "from svv_attached_masking_policy where schema_name = 'masks_marts'"
                )
                for column in json.loads(columns)
            }

    def identifiers(self) -> list[Identifier]:
        """The identifiers of the marts that were built."""
        with self.redshift.opened() as database:
            tables = {
                table
                for (table,) in database.rows(
                    "select table_name from information_schema.tables "
                    "where table_schema = 'masks_marts'"
                )
            }
        return [one for one in identifiers(Manifest.read()) if one.table in tables]


@pytest.fixture(scope="module")
def masked(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    login: Callable[[str], dict[str, str]],
    make_bucket: Callable[[], Bucket],
) -> Iterator[Masked]:
    made = Masked(tmp_path_factory.mktemp("masking"), login, make_bucket())
    with cluster.superuser() as superuser, superuser.cursor() as cursor:
        cursor.execute("create role fraud")
        for (name, password), roles in ((READER, "analysts"), (AUDITOR, "analysts, fraud")):
            cursor.execute(f"create role {name} login password '{password}' in role {roles}")
        cursor.execute(
            "create role masked_bi; insert into standin.user_groups values ('masked_bi')"
        )
    yield made
    with cluster.superuser() as superuser, superuser.cursor() as cursor:
        cursor.execute('revoke "sys:secadmin" from dbt')


def test_a_run_is_refused_if_the_user_may_not_mask(masked: Masked) -> None:
    with pytest.raises(UserError, match="grant role sys:secadmin to dbt") as error:
        masked.redshift.find()
    assert not re.search("[0-9a-f]{64}", str(error.value))


def test_every_identifier_of_a_mart_is_masked_after_a_build(
    masked: Masked, cluster: Cluster
) -> None:
    with cluster.superuser() as superuser, superuser.cursor() as cursor:
        cursor.execute('grant "sys:secadmin" to dbt')
    masked.build("2026-11-20 10:00")
    found = masked.identifiers()
    assert {one.table for one in found} == {"fct_purchases", "fct_sessions", "fct_player_days"}
    assert masked.attached() == {
        (one.table, one.column, kind, grantee)
        for one in found
        for kind, grantee in (("public", "public"), ("role", "fraud"), ("user", "dbt"))
    }
    (session,) = masked.read(READER, "select * from masks_marts.fct_sessions")
    assert len([value for value in session if MASKED.fullmatch(str(value))]) == 3


def test_readers_count_and_join_players_by_hashes(masked: Masked) -> None:
    (hashed,) = masked.players(READER)
    assert MASKED.fullmatch(hashed)
    assert masked.players(READER, "fct_player_days") == {hashed}
    joined = (
        "select count(distinct player_id) from masks_marts.fct_sessions "
        "inner join masks_marts.fct_player_days using (application_id, player_id)"
    )
    assert masked.read(READER, joined) == [(1,)]
    assert masked.players(AUDITOR) == {"p1"}


def test_rebuilt_and_kept_tables_stay_masked(masked: Masked) -> None:
    before, (hashed,) = masked.attached(), masked.players(READER)
    masked.build("2026-11-21 11:00", player="p2")
    assert masked.attached() == before
    # The build itself reads plain ids: it has found two players, and no hash of a hash.
    assert len(masked.players(READER)) == 2
    assert hashed in masked.players(READER)
    assert masked.players(AUDITOR) == {"p1", "p2"} == masked.players(AUDITOR, "fct_player_days")
    # Models that join marts by player read plain ids: no session is lost on the way.
    counted = "select sum(session_count) from masks_marts.fct_player_days"
    assert masked.read(READER, counted) == [(2,)]
    masked.build("2026-11-22 12:00", "--full-refresh")
    assert masked.attached() == before
    assert hashed in masked.players(READER)


def test_a_table_is_masked_before_the_commit_that_shows_it(
    masked: Masked, cluster: Cluster
) -> None:
    """A reader sees a new table from the commit on, because of default privileges or grants."""
    since = cluster.last_number()
    masked.build("2026-11-23 13:00", "--full-refresh")
    for table in ("fct_player_days", "fct_sessions"):
        statements = [
            " ".join(re.sub(r"/\*.*?\*/", "", query.sql).lower().split())
            for query in cluster.queries(since)
            if (query.query_group or "").endswith(f"/{table}")
        ]
        created = next(i for i, sql in enumerate(statements) if sql.startswith("create table"))
        committed = next(i for i, sql in enumerate(statements) if sql.startswith("commit"))
        masks = [i for i, sql in enumerate(statements) if "to public priority 10" in sql]
        assert len(masks) == len([one for one in masked.identifiers() if one.table == table])
        assert created < min(masks)
        assert max(masks) < committed


def test_the_catalog_reads_masks_and_grants_from_the_warehouse(masked: Masked) -> None:
    with masked.redshift.opened() as database:
        rules = read_rules(database)
    assert set(rules.masks) == {
        (f"masks_marts.{one.table}", one.column) for one in masked.identifiers()
    }
    assert all(mask.exempt == ["role:fraud", "user:dbt"] for mask in rules.masks.values())
    assert rules.grants["masks_marts.fct_sessions"] == ["group:masked_bi", "role:analysts"]
    assert rules.sees_masks


def test_a_table_that_cannot_be_masked_does_not_replace_the_masked_one(
    masked: Masked, cluster: Cluster
) -> None:
    before = masked.attached(), masked.players(READER, "fct_player_days")
    cluster.inject(Fault(r"(?s)attach masking.*fct_player_days.*to\s+public", "permission_denied"))
    masked.redshift.find()
    # A full refresh makes the table again, and its policies with it.
    command = (*WITHOUT_TESTS, "--full-refresh", "--select", "fct_player_days")
    assert set(masked.redshift.dbt(*command)) == {"fct_player_days"}
    assert (masked.attached(), masked.players(READER, "fct_player_days")) == before


def test_the_setting_is_followed_by_tables_that_a_run_does_not_build(masked: Masked) -> None:
    masked.redshift = masked.with_setting("nobody")
    masked.redshift.find()
    assert {kind for _, _, kind, _ in masked.attached()} == {"public", "user"}
    assert all(MASKED.fullmatch(player) for player in masked.players(AUDITOR))
    masked.redshift = masked.with_setting("everyone")
    masked.redshift.find()
    assert masked.attached() == set()
    assert masked.players(READER) == {"p1", "p2"}
    masked.redshift = masked.with_setting("role:fraud,user:mia")
    masked.redshift.find()
    assert masked.players(READER) == {"p1", "p2"}
    assert {one.table for one in masked.identifiers()} == {t for t, *_ in masked.attached()}


def test_a_policy_of_somebody_else_that_hides_a_column_from_the_build_is_refused(
    masked: Masked,
) -> None:
    place = "on masks_marts.fct_sessions (application_id)"
    with masked.redshift.opened() as database:
        database.execute(
            "create masking policy by_hand with (value varchar(1024)) "
            "using (cast('***' as varchar(1024)))"
        )
        database.execute(f"attach masking policy by_hand {place} to public priority 30")
    try:
        with pytest.raises(UserError, match="by_hand hides column application_id of mart fct_s"):
            masked.redshift.find()
        with masked.redshift.opened() as database:
            database.execute(
                "create masking policy plain_by_hand with (value varchar(1024)) using (value)"
            )
            database.execute(f'attach masking policy plain_by_hand {place} to "dbt" priority 40')
        masked.redshift.find()
    finally:
        with masked.redshift.opened() as database:
            database.execute(f"detach masking policy by_hand {place} from public")


def test_the_salt_stays_if_a_policy_is_missing(masked: Masked) -> None:
    def salts() -> set[str]:
        with masked.redshift.opened() as database:
            texts = database.rows("select policy_expression from svv_masking_policy")
        return {salt for (text,) in texts for salt in re.findall("[0-9a-f]{64}", text)}

    (salt,) = salts()
    masked.redshift = masked.with_setting("everyone")
    masked.redshift.find()
    with masked.redshift.opened() as database:
        database.execute("drop masking policy masks_game_analytics_masked_varchar_32")
    masked.redshift = masked.with_setting("nobody")
    masked.redshift.find()
    assert salts() == {salt}
