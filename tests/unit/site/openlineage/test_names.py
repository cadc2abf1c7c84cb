"""The names of tables and folders on Redshift and S3, by OpenLineage's conventions."""

from __future__ import annotations

import pytest

from include.settings import Settings
from include.site.openlineage.names import cluster_of, names

NODE = {
    **{"unique_id": "model.game_analytics.fct_bets", "resource_type": "model"},
    **{"name": "fct_bets", "alias": "fct_bets", "schema": "x_marts"},
}
SOURCE = {
    **{"unique_id": "source.game_analytics.ledger.games", "name": "games"},
    **{"identifier": "games", "schema": "x_spectrum"},
}
LOGIN = {
    "REDSHIFT_HOST": "events.abc123.eu-west-1.redshift.amazonaws.com",
    "REDSHIFT_PORT": "5444",
    "REDSHIFT_DBNAME": "analytics",
}


def test_tables_of_redshift_and_folders_of_s3() -> None:
    settings = Settings(target="redshift", lake="s3://a-lake/raw/lake")
    found = names(settings, LOGIN)
    warehouse = "redshift://events.eu-west-1:5444"
    assert found.table(NODE) == (warehouse, "analytics.x_marts.fct_bets")
    assert found.table(SOURCE) == (warehouse, "analytics.x_spectrum.games")
    assert found.source(SOURCE) == ("s3://a-lake", "raw/lake/games")
    assert found.job(NODE) == "analytics.x_marts.game_analytics.fct_bets.build.run"
    assert found.test_job(SOURCE) == "analytics.x_spectrum.game_analytics.ledger.games.build.test"


def test_a_lake_can_be_a_whole_bucket() -> None:
    settings = Settings(target="redshift", lake="s3://a-lake")
    assert names(settings, LOGIN).source(SOURCE) == ("s3://a-lake", "games")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (LOGIN, "events.eu-west-1"),
        (
            {"REDSHIFT_HOST": "wg.123456789012.us-east-1.redshift-serverless.amazonaws.com"},
            "wg.us-east-1",
        ),
        ({"REDSHIFT_HOST": "c.abc.cn-north-1.redshift.amazonaws.com.cn"}, "c.cn-north-1"),
        ({"REDSHIFT_HOST": "warehouse.internal"}, "warehouse.internal"),
        ({"REDSHIFT_CLUSTER_ID": "events", "REDSHIFT_REGION": "eu-west-1"}, "events.eu-west-1"),
    ],
    ids=["cluster", "workgroup", "china", "own-host", "iam"],
)
def test_the_host_of_redshift_gives_cluster_and_region(
    environ: dict[str, str], expected: str
) -> None:
    assert cluster_of(environ) == expected
