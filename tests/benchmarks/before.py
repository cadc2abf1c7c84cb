"""This checkout compared with an earlier commit of it, which runs by its own code.

Both run by turns on equal lakes with the same Python environment. The commit is checked out below
`data/benchmarks` from the repository's own history, and the checkout is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from include.settings import ROOT
from tests.benchmarks.builds import END, Build, Checkout, Lake, generated, prepare
from tests.benchmarks.measure import (
    FOLDER,
    Figure,
    Skipped,
    median,
    progress,
    ratio_of_turns,
    taking_turns,
)
from tests.benchmarks.on_redshift import Place, place
from tests.benchmarks.touched_day import land_late, late_build
from tests.support.hand_lake import HandLake

PART = "before"
COMMIT = "e0ab6e4"
NOW = "now"
FULL_LAKE = (400, 598)
"""About 792,000 events."""
SAMPLE_LAKE = (30, 400)
SCANNED_DAYS, SCANNED_PLAYERS = 30, 20
GOAL_FULL, GOAL_TOUCHED, GOAL_SCANNED = 0.40, 0.6, 0.55


def measure(rounds: int) -> Sequence[Figure | Skipped]:
    """Measure full builds, builds of a touched day, and bytes scanned on the stand-in."""
    if _git("rev-parse", "--verify", "--quiet", f"{COMMIT}^{{commit}}").returncode:
        return [Skipped(PART, f"this clone has no commit {COMMIT}: fetch the whole history")]
    with _checked_out() as old:
        prepare(old)
        return [*_full(old, rounds), *_touched(old, rounds), *_scanned(old)]


@contextmanager
def _checked_out() -> Iterator[Checkout]:
    """Check out the commit beside the lakes, with this checkout's Python environments."""
    root = FOLDER / f"commit-{COMMIT}"
    _remove(root)
    added = _git("worktree", "add", "--force", "--quiet", "--detach", os.fspath(root), COMMIT)
    added.check_returncode()
    (root / ".venv").symlink_to(ROOT / ".venv")
    try:
        yield Checkout(root, FOLDER / f"target-{COMMIT}")
    finally:
        _remove(root)


def _remove(root: os.PathLike[str]) -> None:
    """Remove the checkout. An earlier run that was killed has left it."""
    _git("worktree", "remove", "--force", os.fspath(root))
    shutil.rmtree(root, ignore_errors=True)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@contextmanager
def _copies(lake: Lake, old: Checkout, name: str) -> Iterator[dict[str, Lake]]:
    """Two copies of a lake, one for each code. Files are never changed in place, so links do."""
    copies = {
        NOW: Lake(FOLDER / "lakes" / f"{name}-{NOW}"),
        COMMIT: Lake(FOLDER / "lakes" / f"{name}-{COMMIT}", checkout=old),
    }
    try:
        for copy in copies.values():
            shutil.rmtree(copy.folder, ignore_errors=True)
            ignored = shutil.ignore_patterns("ledger_rows")
            shutil.copytree(lake.lake, copy.lake, ignore=ignored, copy_function=os.link)
        yield copies
    finally:
        for copy in copies.values():
            shutil.rmtree(copy.folder, ignore_errors=True)


def _full(old: Checkout, rounds: int) -> Iterator[Figure]:
    lake = generated(*FULL_LAKE)
    progress(f"{PART}: {lake.event_count():,} events over {FULL_LAKE[0]} days")
    with _copies(lake, old, "full") as lakes:
        builds = taking_turns(
            min(rounds, 2), {name: partial(own.build_anew) for name, own in lakes.items()}
        )
    yield from _compared("full build, 400 days", builds, GOAL_FULL)


def _touched(old: Checkout, rounds: int) -> Iterator[Figure]:
    with _copies(generated(*SAMPLE_LAKE), old, "touched") as lakes:
        for own in lakes.values():
            own.build_anew()
        builds = taking_turns(
            rounds, {name: partial(late_build, own) for name, own in lakes.items()}
        )
    yield from _compared("touched day, sample", builds, GOAL_TOUCHED)


def _compared(what: str, builds: Mapping[str, Sequence[Build]], goal: float) -> Iterator[Figure]:
    """The seconds of both codes, and the ratios of their turns."""
    for part, seconds in {
        "as a user waits": {name: [b.total for b in own] for name, own in builds.items()},
        "processor": {name: [b.processor for b in own] for name, own in builds.items()},
        "models and tests": {
            name: [b.dbt.models + b.dbt.tests for b in own] for name, own in builds.items()
        },
    }.items():
        ratio, ratios = ratio_of_turns(seconds[NOW], seconds[COMMIT])
        for name, own in seconds.items():
            yield Figure(PART, f"{what}, {part}, {name}", median(own), "s", samples=own)
        yield Figure(PART, f"{what}, {part}, ratio", ratio, "x", goal, samples=ratios)


def _scanned(old: Checkout) -> Iterator[Figure]:
    """The bytes that a build of a touched day scans on the stand-in.

    The lake has events only, because the commit refuses the sample's CSV files on Redshift.
    """
    with (
        TemporaryDirectory(dir=FOLDER) as folder,
        place() as here,
        _copies(_events_only(Lake(Path(folder))), old, "scanned") as lakes,
    ):
        scanned = {name: _scanned_by(here, name, lake) for name, lake in lakes.items()}
    for name, count in scanned.items():
        yield Figure(PART, f"bytes scanned for a touched day, {name}", count, "B")
    ratio = scanned[NOW] / scanned[COMMIT]
    yield Figure(PART, "bytes scanned for a touched day, ratio", ratio, "x", GOAL_SCANNED)


def _events_only(lake: Lake) -> Lake:
    written = HandLake(lake.lake)
    for number in range(SCANNED_DAYS):
        for player in range(SCANNED_PLAYERS):
            day = END - timedelta(days=number)
            written.event(f"{day}T10:00:{player:02}", user_id=f"p{player}")
    written.write()
    return lake


def _scanned_by(here: Place, name: str, lake: Lake) -> int:
    bucket = here.bucket(f"bench-{name}")
    variables = {
        "GAME_ANALYTICS_TARGET": "redshift",
        "GAME_ANALYTICS_LAKE": bucket.uri,
        "GAME_ANALYTICS_SCHEMA_PREFIX": f"{name}_",
        **here.s3.environment(),
        **here.cluster.environment(),
    }
    remote = replace(lake, variables=variables)
    bucket.mirror(lake.lake)
    remote.build()
    land_late(lake)
    bucket.mirror(lake.lake)
    number = len(here.cluster.scans())
    remote.build()
    return sum(scan.bytes for scan in here.cluster.scans()[number:])
