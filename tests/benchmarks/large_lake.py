"""Generates a large sample with several processes.

The players are divided into a fixed number of shares, and each share has a seed of its own. So the
lake does not depend on the number of processes. Processes generate the shares and the ledger at the
same time. Then one process lands the events day by day, because only one process may land.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from include.lake.landing.landing_zone import LandingZone
from include.lake.sample.sample import Sample, event_batches, write_ledger

SHARES = 8


def write_large_sample(lake: Path, sample: Sample, processes: int | None = None) -> None:
    """Write a sample into an empty lake with so many processes; by default one for each core.

    The events that are not landed yet are in a folder beside the lake, which is removed at the end.
    """
    lake.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=lake.parent) as scratch:
        folders = [Path(scratch, str(number)) for number in range(SHARES)]
        context = get_context("spawn")
        with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=context) as pool:
            # The ledger takes longer than a share, so it is begun first.
            ledger = pool.submit(write_ledger, lake, sample)
            shares = [
                pool.submit(_write_share, folder, own)
                for folder, own in zip(folders, _shares(sample), strict=True)
            ]
            ledger.result()
            for share in shares:
                share.result()
        _land(lake, folders)


def _shares(sample: Sample) -> list[Sample]:
    """The samples of equal numbers of players, as far as the number can be divided."""
    each, rest = divmod(sample.players, SHARES)
    return [
        replace(sample, players=each + (number < rest), seed=sample.seed * SHARES + number)
        for number in range(SHARES)
    ]


def _write_share(folder: Path, share: Sample) -> None:
    """Write the events of a share to one file per day, named by their time of arrival."""
    folder.mkdir()
    for _, arrived_at, lines in event_batches(share, folder):
        (folder / str(arrived_at)).write_bytes(lines)


def _land(lake: Path, folders: Sequence[Path]) -> None:
    """Land the events of all shares day by day."""
    with LandingZone(lake) as zone:
        for arrived_at in sorted(int(path.name) for path in folders[0].iterdir()):
            lines = b"".join((folder / str(arrived_at)).read_bytes() for folder in folders)
            zone.land(f"generated/{arrived_at}.jsonl", io.BytesIO(lines), arrived_at)
