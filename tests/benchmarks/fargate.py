"""The image that Fargate runs: its size, its seconds until dbt runs, and the cost of its command.

Podman runs the containers on this machine, with the image that the tests build, on target `local`.
The seconds do not include what Fargate needs to pull the image and to attach a network interface.
Each container is new, so dbt parses the project in all of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from include.settings import UserError
from tests.benchmarks.measure import (
    Figure,
    Skipped,
    median,
    ratio_of_turns,
    seconds_of,
    taking_turns,
)
from tests.support.debian import Unavailable
from tests.support.engine import Engine

PART = "fargate"
SAMPLE = ("--days", "10", "--players", "200", "--seed", "7")
USER = 10001
OURS = "python -m include.build.container build"
PLAIN = "dbt build --exclude-resource-type unit_test"
NODE_LINE = re.compile(r"^(?:model|seed|snapshot)\.\S+ (?:success|warn), ")


@dataclass(frozen=True)
class Run:
    """Seconds of a container: to dbt's first line, to the first node result, and of the command."""

    dbt: float
    node: float
    command: float


def measure(rounds: int) -> Sequence[Figure | Skipped]:
    """Measure sizes and seconds; skipped where podman cannot run."""
    try:
        with Engine.start() as engine, tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            # Also for the image's user.
            folder.chmod(0o755)
            return [*_sizes(engine, folder), *_seconds(engine, folder, rounds)]
    except Unavailable as reason:
        return [Skipped(PART, str(reason))]


def _sizes(engine: Engine, folder: Path) -> list[Figure]:
    """The size of the unpacked image and of the compressed layers that each task pulls."""
    image = engine.image()
    size = json.loads(engine.podman("image", "inspect", image).stdout)[0]["Size"]
    with engine.registry(folder) as registry:
        pushed = f"{registry}/game-analytics-dbt:benchmark"
        engine.podman("tag", image, pushed)
        engine.podman("push", "--quiet", pushed)
        engine.podman("rmi", pushed)
        asked = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{pushed}"]
        manifest = subprocess.run(asked, capture_output=True, check=True).stdout
    layers = sum(layer["size"] for layer in json.loads(manifest)["layers"])
    return [
        Figure(PART, "image, unpacked", size / 1e6, "MB"),
        Figure(PART, "image, to pull", layers / 1e6, "MB"),
    ]


def _seconds(engine: Engine, folder: Path, rounds: int) -> list[Figure]:
    lake = str(folder / "lake")
    generate = [sys.executable, "-m", "include.lake", "generate", *SAMPLE]
    seconds_of(generate, {"GAME_ANALYTICS_LAKE": lake})
    (folder / "docs").mkdir()
    os.chown(folder / "docs", USER, USER)
    turns = taking_turns(
        rounds,
        {
            "image's build": lambda: _run(engine, folder, OURS),
            "plain dbt build in it": lambda: _run(engine, folder, PLAIN),
        },
    )
    ours, plain = turns["image's build"], turns["plain dbt build in it"]
    dbt, node = [run.dbt for run in ours], [run.node for run in ours]
    seconds = {name: [run.command for run in runs] for name, runs in turns.items()}
    ratio, ratios = ratio_of_turns([run.command for run in ours], [run.command for run in plain])
    return [
        Figure(PART, "container start to dbt's first line", median(dbt), "s", samples=dbt),
        Figure(PART, "container start to the first node result", median(node), "s", samples=node),
        *(Figure(PART, name, median(each), "s", samples=each) for name, each in seconds.items()),
        Figure(PART, "image's build over plain dbt build", ratio, "x", samples=ratios),
    ]


def _run(engine: Engine, folder: Path, command: str) -> Run:
    """Run a command in a new container, after the lake was listed; UserError if it fails."""
    before = "" if command == OURS else "python -m include.lake partitions >/dev/null && "
    script = f'{before}a=$(date +%s.%N) && {command} && echo "took $a $(date +%s.%N)"'
    options = [
        "--entrypoint=/bin/sh",
        f"--volume={folder / 'lake'}:/lake:U",
        f"--volume={folder / 'docs'}:/docs",
        "--env=GAME_ANALYTICS_TARGET=local",
        "--env=GAME_ANALYTICS_LAKE=/lake",
        "--env=GAME_ANALYTICS_DOCS=/docs",
        "--env=GAME_ANALYTICS_DUCKDB=/tmp/warehouse.duckdb",
    ]
    words = engine.words("-c", script, options=options)
    began, lines = time.monotonic(), []
    with subprocess.Popen(
        ["podman", *words],
        env=engine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        lines = [(time.monotonic() - began, line) for line in process.stdout]
    took = re.search(r"^took (\S+) (\S+)$", lines[-1][1]) if lines else None
    if process.returncode or not took:
        tail = "".join(line for _, line in lines[-15:])
        raise UserError(f"`{command}` in the image ended with {process.returncode}:\n{tail}")
    dbt = next(at for at, line in lines if "Running with dbt" in line)
    node = next((at for at, line in lines if NODE_LINE.match(line)), 0.0)
    return Run(dbt, node, float(took[2]) - float(took[1]))
