"""The account with all stacks, which the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import Engine

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Deployment]:
    """A complete deployment. It is imported here because its module needs Airflow's environment."""
    from tests.deployment.deployment import Deployment

    with Deployment.make(tmp_path_factory.mktemp("account"), engine) as deployment:
        yield deployment
