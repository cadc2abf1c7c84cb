"""The build lock on Redshift: one run holds it, another takes it over when it has expired."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("psycopg2", reason="runs in dbt's environment")

from include.settings import Settings
from include.warehouse import build_lock
from include.warehouse.build_lock import LockedError, LockLostError
from include.warehouse.database import Database, open_database

PREFIX = "lock_"
SETTINGS = Settings(target="redshift", lake="s3://any/where", schema_prefix=PREFIX)
TABLE = f"{PREFIX}operations.build_lock"


@pytest.fixture
def environment(login: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in login(PREFIX).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def database(environment: None) -> Iterator[Database]:
    """The warehouse in the state that the first step of a run finds."""
    assert environment is None
    with open_database(SETTINGS) as database:
        database.execute(f"drop table if exists {TABLE}")
        days = f"{PREFIX}operations.run"
        database.execute(f"drop table if exists {days}")
        database.execute(f"create table {days} (run_id varchar(1024), is_whole boolean)")
        yield database


def begin(database: Database, run_id: str) -> None:
    """Do the first step of a run: take the lock, then write the run's days."""
    with build_lock.taken(database, SETTINGS, run_id):
        database.execute(f"delete from {PREFIX}operations.run")
        database.insert(f"{PREFIX}operations.run", [(run_id, True)])


def let_expire(database: Database) -> None:
    database.execute(f"update {TABLE} set expires_at = dateadd(minute, -1, getdate())")


def test_a_second_run_waits_for_the_end_of_the_first(database: Database) -> None:
    begin(database, "airflow")
    with pytest.raises(LockedError, match=r"airflow builds in this warehouse.* until \d\d:\d\d"):
        begin(database, "state machine")
    build_lock.free(database, SETTINGS, "state machine")
    with pytest.raises(LockedError):
        begin(database, "state machine")
    begin(database, "airflow")
    assert build_lock.keep(database, SETTINGS, "airflow") is True
    build_lock.free(database, SETTINGS, "airflow")
    begin(database, "state machine")


def test_an_expired_lock_is_taken_over_and_its_old_run_fails(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    begin(database, "dead")
    let_expire(database)
    begin(database, "next")
    assert "The build lock of dead has expired" in caplog.text
    with pytest.raises(LockedError, match="next builds"):
        build_lock.keep(database, SETTINGS, "dead")
    build_lock.free(database, SETTINGS, "next")
    with pytest.raises(LockLostError, match=r"replaced by those of next: clear the task partit"):
        build_lock.keep(database, SETTINGS, "dead")
    # `keep` took the lock in order to look, and must not hold it.
    begin(database, "third")


def test_a_run_may_go_on_after_its_lock_expired_if_no_other_took_it(database: Database) -> None:
    begin(database, "slow")
    let_expire(database)
    assert build_lock.keep(database, SETTINGS, "slow")
    with pytest.raises(LockedError):
        begin(database, "other")


def test_a_first_step_that_fails_gives_the_lock_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), build_lock.taken(database, SETTINGS, "broken"):
        raise ZeroDivisionError
    begin(database, "other")


def test_a_build_renews_its_lock_and_is_called_when_it_is_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_lock, "RENEW_SECONDS", 0.2)
    begin(database, "builder")
    lost: list[str] = []
    with (
        pytest.raises(LockLostError, match="thief"),
        build_lock.renewed(SETTINGS, "builder", lost.append),
    ):
        before = database.rows(f"select renewed_at from {TABLE}")
        time.sleep(2)
        assert database.rows(f"select renewed_at from {TABLE}") > before
        assert lost == []
        while not lost:
            # The builder renews the lock again and again, until the thief is quicker once.
            let_expire(database)
            try:
                begin(database, "thief")
            except LockedError:
                continue
            time.sleep(1)
    assert len(lost) == 1
    assert "thief" in lost[0]


STAYS = (
    "import pathlib, sys, time\n"
    "try:\n    pathlib.Path(sys.argv[1]).touch()\n    time.sleep(60)\n"
    "except KeyboardInterrupt:\n    print('interrupted'); sys.exit(3)"
)
"""A program that shows by a file that it can be interrupted."""


def test_a_program_runs_under_the_lock_and_a_lost_one_interrupts_it(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(build_lock, "RENEW_SECONDS", 0.2)
    begin(database, "builder")
    for name, value in SETTINGS.as_environment().items():
        monkeypatch.setenv(name, value)
    ends_with_2 = [sys.executable, "-c", "import sys; sys.exit(int(sys.argv[-1]))", "--code", "2"]
    monkeypatch.setattr(sys, "argv", ["", "during", "--run-id", "builder", "--", *ends_with_2])
    assert build_lock.main() == 2
    assert build_lock.keep(database, SETTINGS, "builder") is True

    started = tmp_path / "started"

    def steal() -> None:
        while not started.exists():
            time.sleep(0.05)
        with open_database(SETTINGS) as own:
            while True:
                let_expire(own)
                with suppress(LockedError):
                    begin(own, "thief")
                    return

    thief = threading.Thread(target=steal, daemon=True)
    thief.start()
    with pytest.raises(LockLostError, match="thief"):
        build_lock.during(SETTINGS, "builder", [sys.executable, "-c", STAYS, str(started)])
    thief.join()
    assert capfd.readouterr().out == "interrupted\n"


def test_a_renewal_that_comes_late_neither_takes_nor_shortens_the_lock(database: Database) -> None:
    begin(database, "builder")
    (before,) = database.rows(f"select expires_at from {TABLE}")
    build_lock.renew(database, SETTINGS, "builder")
    assert database.rows(f"select expires_at from {TABLE}") == [before]
    let_expire(database)
    build_lock.renew(database, SETTINGS, "builder")
    with pytest.raises(LockedError, match="builder builds"):
        begin(database, "other")
    build_lock.free(database, SETTINGS, "builder")
    with pytest.raises(LockLostError, match="its build lock was freed"):
        build_lock.renew(database, SETTINGS, "builder")
    begin(database, "other")


def test_a_run_without_a_lock_gives_none_back(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The preflight of a first run can fail because there is no warehouse."""
    build_lock.give_back(SETTINGS, "builder", 90)
    assert "does not exist" in capsys.readouterr().out
    assert database.rows("select 1") == [(1,)]
    monkeypatch.setenv("REDSHIFT_PORT", "1")
    for name, value in SETTINGS.as_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["", "free", "--run-id", "builder"])
    assert build_lock.main() == 0
    assert "expires in 90 minutes: the warehouse cannot be reached" in capsys.readouterr().out


def test_of_many_that_begin_at_once_one_builds(database: Database) -> None:
    begin(database, "first")
    build_lock.free(database, SETTINGS, "first")
    winners: list[str] = []
    barrier = threading.Barrier(6)

    def attempt(name: str) -> None:
        with open_database(SETTINGS) as own:
            barrier.wait()
            try:
                begin(own, name)
            except LockedError:
                return
            winners.append(name)

    threads = [threading.Thread(target=attempt, args=(f"run {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
