"""The package, the bucket and the stub of MWAA that the tests of this folder share."""

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
    """A package with wheels, made by the code of `make package`.

    It is kept between test sessions, because dbt must parse the project and the wheels have 140 MB.
    """
    pytest.importorskip("airflow", reason="runs in Airflow's environment")
    from include.deployment.mwaa.package import outdated, package, wheels_of

    dist = ROOT / ".venv" / "cache" / "mwaa" / "package"
    dist.parent.mkdir(parents=True, exist_ok=True)
    with (dist.parent / "lock").open("w") as lock:
        # Another process of the same session may be writing or reading it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wheels_of(dist) != WHEELS or outdated(dist):
            package(dist, WHEELS)
    return dist


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack.start(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


def make_bucket(emulator: MiniStack, name: str) -> Any:
    """Create a bucket with the properties that MWAA requires; returns an S3 client."""
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
    """MWAA's answer about an available environment, with `fields` added."""
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
    """An MWAA client and the botocore stubber that answers its requests."""
    import boto3
    from botocore.stub import Stubber

    client = boto3.client(
        "mwaa",
        region_name="eu-west-1",
        aws_access_key_id="stub",
        aws_secret_access_key="stub",  # noqa: S106 - the stub checks no credentials
    )
    with Stubber(client) as stubber:
        yield client, stubber
