"""A connection to Redshift does not disturb a dbt that builds in the same process."""

from __future__ import annotations

from argparse import Namespace

import pytest

pytest.importorskip("dbt.adapters.redshift", reason="runs in dbt's environment")

from dbt import flags
from include.manifest import PROJECT
from include.settings import UserError
from include.warehouse import redshift
from tests.support.engine import free_port


def test_a_connection_leaves_the_flags_of_dbt_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    login = {"HOST": "127.0.0.1", "PORT": str(free_port()), "USERNAME": "dbt", "PASSWORD": "x"}
    for name, value in {**login, "DBNAME": "analytics"}.items():
        monkeypatch.setenv(f"REDSHIFT_{name}", value)
    running = Namespace(
        PROFILES_DIR=str(PROJECT), LOG_CACHE_EVENTS=False, VERSION_CHECK=True, FULL_REFRESH=True
    )
    monkeypatch.setattr(flags, "GLOBAL_FLAGS", running)
    with pytest.raises(UserError, match=r"cannot be reached \(.*refused"), redshift.connected():
        pass
    assert running is flags.GLOBAL_FLAGS
