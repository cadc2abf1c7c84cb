"""The package, the bucket and the stubbed MWAA that the tests share."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from include.settings import ROOT
from tests.support.ministack import MiniStack

if TYPE_CHECKING:
    from botocore.stub import Stubber

BUCKET = "studio-mwaa"
NAME = "games"
WHEELS = f"s3://{BUCKET}/wheels"


@pytest.fixture(scope="session")
def package() -> Path:
    """A package with wheels, as `make package` makes it.

    Kept between sessions: dbt has to parse for it, and the wheels are 140 MB.
    """
    pytest.importorskip("airflow", reason="runs in Airflow's environment")
    from include.deployment.mwaa.package import outdated, package, wheels_of

    dist = ROOT / ".venv" / "cache" / "mwaa" / "package"
    dist.parent.mkdir(parents=True, exist_ok=True)
    with (dist.parent / "lock").open("w") as lock:
        # Another process of the same session may be making it, or reading it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wheels_of(dist) != WHEELS or outdated(dist):
            package(dist, WHEELS)
    return dist


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack.start(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


def make_bucket(emulator: MiniStack, name: str) -> Any:
    """A bucket as MWAA wants it; returns a client of S3."""
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    return s3


def described(bucket: str, **fields: str) -> dict[str, Any]:
    """What MWAA says of an environment that is up."""
    return {
        "Environment": {
            "Name": NAME,
            "Status": "AVAILABLE",
            "AirflowVersion": "3.3.1",
            "SourceBucketArn": f"arn:aws:s3:::{bucket}",
            "DagS3Path": "dags",
            **fields,
        }
    }


@contextmanager
def stubbed_mwaa() -> Iterator[tuple[Any, Stubber]]:
    """A client of MWAA, of which no emulator knows, with botocore's stubber on it."""
    import boto3
    from botocore.stub import Stubber

    client = boto3.client(
        "mwaa",
        region_name="eu-west-1",
        aws_access_key_id="stub",
        aws_secret_access_key="stub",  # noqa: S106 - of a stub
    )
    with Stubber(client) as stubber:
        yield client, stubber
