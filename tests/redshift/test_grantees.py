"""Grants on the stand-in: to names that are no plain identifiers, and to the build's user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.settings import Settings
from include.site.catalog.sizes import table_sizes
from tests.redshift_standin import Cluster
from tests.support.hand_lake import HandLake
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse
from tests.support.warehouse import WITHOUT_TESTS

PREFIX = "grants_"
MART = "grants_marts.fct_sessions"
SELECTED = (*WITHOUT_TESTS, "--select", "+fct_sessions")


def test_the_user_of_the_build_may_read_the_sizes_of_tables(
    login: Callable[[str], dict[str, str]], make_bucket: Callable[[], Bucket]
) -> None:
    redshift = RedshiftWarehouse(make_bucket(), login("sizes_"), schema_prefix="sizes_")
    with redshift.opened() as database:
        database.execute("create table sizes_marts.t as select 1 as a")
        assert "sizes_marts.t" in table_sizes(database, Settings(target="redshift"))


def test_a_grant_to_an_iam_role_breaks_no_later_run(
    tmp_path: Path,
    cluster: Cluster,
    login: Callable[[str], dict[str, str]],
    make_bucket: Callable[[], Bucket],
) -> None:
    lake, bucket = tmp_path / "lake", make_bucket()
    readers = {"readers": "role:analysts,role:aad:data-team,user:IAM:rita.r"}
    redshift = RedshiftWarehouse(bucket, login(PREFIX), schema_prefix=PREFIX, **readers)
    login_with = "login password 'Rita-the-reader-1'"
    with cluster.superuser() as superuser, superuser.cursor() as cursor:
        cursor.execute('create role "aad:data-team"')
        for user in ("IAMR:bi-role", "IAM:rita.r"):
            cursor.execute(f'create role "{user}" {login_with}')

    def build(at: str) -> None:
        hand = HandLake(lake)
        hand.event(at, user_id="p1", event_id=at)
        hand.write()
        bucket.mirror(lake)
        redshift.find()
        assert redshift.dbt(*SELECTED) == {}

    def grantees() -> set[tuple[str, str]]:
        with redshift.opened() as database:
            return {
                (kind, name)
                for kind, name in database.rows(
                    "select identity_type, identity_name from svv_relation_privileges "
                    "where namespace_name || '.' || relation_name = ? "
                    "and privilege_type = 'SELECT' and identity_name <> current_user",
                    [MART],
                )
            }

    expected = {("role", "analysts"), ("role", "aad:data-team"), ("user", "IAM:rita.r")}
    build("2026-11-20 10:00")
    assert grantees() == expected
    with cluster.superuser() as superuser, superuser.cursor() as cursor:
        cursor.execute(f'grant select on {MART} to "IAMR:bi-role"')
    assert grantees() == expected | {("user", "IAMR:bi-role")}
    # dbt revokes what the setting does not name.
    build("2026-11-20 11:00")
    assert grantees() == expected
