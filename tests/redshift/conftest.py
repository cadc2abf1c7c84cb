"""One stand-in and one emulated S3, which all tests of a process share."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from include.settings import ROOT

if TYPE_CHECKING:
    from tests.redshift_standin import Cluster
    from tests.support.ministack import MiniStack
    from tests.support.redshift_warehouse import Bucket

PASSWORD = f"Aa1{uuid.uuid4().hex}"
"""The password of the user `dbt`."""


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    from tests.support.ministack import MiniStack

    with MiniStack.start(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3: MiniStack) -> Iterator[Cluster]:
    """A cluster with the roles of `include/aws/bootstrap.sql`."""
    from tests.redshift_standin import Cluster

    with Cluster.start(tmp_path_factory.mktemp("cluster"), s3_endpoint=s3.endpoint) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def login(cluster: Cluster, s3: MiniStack) -> Callable[[str], dict[str, str]]:
    """Returns a function that makes the schemas of a prefix and returns the login of user `dbt`."""

    def make(prefix: str) -> dict[str, str]:
        administrator = {**os.environ, **s3.environment(), **cluster.environment()}
        given = json.dumps({"password": PASSWORD, "prefix": prefix})
        subprocess.run(
            [sys.executable, "-m", "tests.support.redshift_bootstrap", given],
            cwd=ROOT,
            env={**administrator, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        return {
            **s3.environment(),
            **cluster.environment(),
            "REDSHIFT_USERNAME": "dbt",
            "REDSHIFT_PASSWORD": PASSWORD,
        }

    return make


@pytest.fixture(scope="session")
def make_bucket(s3: MiniStack) -> Callable[[], Bucket]:
    """Returns a function that makes an empty bucket for a lake."""
    from tests.support.redshift_warehouse import Bucket

    numbers = itertools.count()
    client = s3.client("s3")

    def make() -> Bucket:
        name = f"lake-{next(numbers)}"
        client.create_bucket(Bucket=name)
        return Bucket(client, name, "games/lake")

    return make
