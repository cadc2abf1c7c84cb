"""Column lineage of 1,000 models and 20,000 columns, beside dbt-colibri and dbt docs.

dbt-colibri is installed into an environment of its own. It also writes its page, which takes about
a tenth of its time. The edges of both must be equal. dbt docs has no column lineage. It gets a
dbt project with the same models (`docs_of_dbt.py`), and its manifest must have the same SQL
and columns.

`python -m tests.benchmarks.lineage MANIFEST CACHE EDGES` follows the columns once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from include.settings import ROOT, UserError
from include.site.lineage import ROWS, Kind, column_lineage
from tests.benchmarks.measure import (
    FOLDER,
    LOG,
    Failed,
    Figure,
    Noted,
    Skipped,
    clean_environment,
    median,
    progress,
    ratio_of_turns,
    taking_turns,
)
from tests.benchmarks.wide_project import NAMES, write

PART = "lineage"
CHANGED = "int_0_007"
"""The model that the second run finds changed. Its columns are the same, so its readers stay."""

COLIBRI = ("dbt-colibri==0.3.7", "sqlglot==30.16.0", "sqlglotc==30.16.0")
"""With a newer sqlglot, dbt-colibri 0.3.7 finds no edges in unions, and reports no failure."""

DOCS, NO_COMPILE = "dbt docs generate --static", "dbt docs generate --static --no-compile"
"""dbt's command as it is, and without compiling, as a publication of this package runs it."""

GOAL_SECONDS = 20.0
GOAL_MB = 300.0

LAUNCHER = """
import os, sys
process = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(process, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts a program and prints its processor seconds and kilobytes. The peak memory of a process
includes that of the process that it was forked from, so this small one starts it.
"""

Edges = set[tuple[str, str, str, str]]
"""Origin and target, each as unique id and column."""


@dataclass(frozen=True)
class Cost:
    """The processor seconds and the peak memory of one process."""

    seconds: float
    megabytes: float


def measure(rounds: int) -> Sequence[Figure | Skipped | Failed | Noted]:
    """Measure both by turns, and our second run after one model has changed."""
    folder = FOLDER / PART
    shutil.rmtree(folder, ignore_errors=True)
    write(folder)
    write(folder / "changed", changed=CHANGED)
    program = [sys.executable, "-m", "tests.benchmarks.lineage"]
    cache, edges = str(folder / "cache.json"), str(folder / "edges.json")
    ours = [*program, str(folder / "manifest.json"), cache, edges]
    second = [*program, str(folder / "changed" / "manifest.json"), cache, edges]

    def first_run() -> Cost:
        Path(cache).unlink(missing_ok=True)
        return cost_of(ours)

    # Imported here, because the process that follows the columns must not import DuckDB too.
    from tests.benchmarks import docs_of_dbt

    docs = docs_of_dbt.prepare(folder / "dbt_docs")
    runs = {
        "lineage": first_run,
        NO_COMPILE: lambda: cost_of([*docs, "--no-compile"]),
        # It comes last, because its manifest is compared.
        DOCS: lambda: cost_of(docs),
    }
    compared: list[Figure | Skipped | Failed | Noted]
    try:
        theirs = _colibri(folder)
    except UserError as reason:
        costs = taking_turns(rounds, runs)
        compared = [Skipped(PART, str(reason))]
    else:
        costs = taking_turns(rounds, {**runs, "dbt-colibri": lambda: cost_of(theirs)})
        compared = _compared(costs, folder)
    compared += _compared_with_docs(costs, folder)
    again = [cost_of(second)]
    recomputed = LOG.read_text().split()
    if recomputed != [f"model.wide.{CHANGED}"]:
        compared.append(Failed(PART, f"the second run followed {' '.join(recomputed)}"))
    return [
        *_figures("first run", costs["lineage"], GOAL_SECONDS, GOAL_MB),
        *_figures("run after one model has changed", again),
        *compared,
    ]


def _figures(
    name: str, costs: Sequence[Cost], seconds: float | None = None, megabytes: float | None = None
) -> list[Figure]:
    used = [cost.seconds for cost in costs]
    peaks = [cost.megabytes for cost in costs]
    return [
        Figure(PART, f"{name}: CPU", median(used), "s", seconds, samples=used),
        Figure(PART, f"{name}: peak memory", median(peaks), "MB", megabytes, samples=peaks),
    ]


def _compared(
    costs: dict[str, list[Cost]], folder: Path
) -> list[Figure | Skipped | Failed | Noted]:
    ours, theirs = costs["lineage"], costs["dbt-colibri"]
    ratio, ratios = ratio_of_turns(
        [cost.seconds for cost in ours], [cost.seconds for cost in theirs]
    )
    found: list[Figure | Skipped | Failed | Noted] = [
        *_figures("dbt-colibri 0.3.7, with its page", theirs),
        *_page_figures("dbt-colibri's page", folder / "colibri" / "index.html"),
        Figure(PART, "CPU over dbt-colibri's", ratio, "x", 1.0, samples=ratios),
    ]
    own = {tuple(edge) for edge in json.loads((folder / "edges.json").read_text())}
    other = colibri_edges(folder / "colibri" / "colibri-manifest.json")
    if own == other:
        return [*found, Noted(PART, f"both found the same {len(own):,} column edges")]
    example = sorted(own ^ other)[0]
    return [
        *found,
        Failed(
            PART,
            f"{len(own - other)} edges are only ours and {len(other - own)} only dbt-colibri's, "
            f"such as {example}",
        ),
    ]


def _compared_with_docs(
    costs: dict[str, list[Cost]], folder: Path
) -> list[Figure | Skipped | Failed | Noted]:
    from tests.benchmarks import docs_of_dbt

    docs = folder / "dbt_docs" / "target"
    found: list[Figure | Skipped | Failed | Noted] = [
        *_figures(DOCS, costs[DOCS]),
        *_figures(NO_COMPILE, costs[NO_COMPILE]),
        *_page_figures("dbt docs' page", docs / docs_of_dbt.PAGE),
    ]
    if different := list(docs_of_dbt.differences(folder, docs)):
        text = f"dbt's manifest has another SQL or columns of {len(different)} tables, such as"
        return [*found, Failed(PART, f"{text} {different[0]}")]
    return [*found, Noted(PART, "dbt docs had the same tables, columns and compiled SQL")]


def _page_figures(name: str, path: Path) -> list[Figure]:
    from tests.benchmarks.docs_of_dbt import page_sizes

    plain, compressed = page_sizes(path)
    return [
        Figure(PART, f"{name}: size", plain, "MB"),
        Figure(PART, f"{name}: gzipped", compressed, "MB"),
    ]


def colibri_edges(path: Path) -> Edges:
    """The edges between columns; those of joins and filters have no column of the model."""
    return {
        (edge["source"], edge["sourceColumn"], edge["target"], edge["targetColumn"])
        for edge in json.loads(path.read_text())["lineage"]["edges"]
        if edge["sourceColumn"] in NAMES and edge["targetColumn"] in NAMES
    }


def _colibri(folder: Path) -> list[str]:
    """Install dbt-colibri and return its command; raises UserError without a package index."""
    uv, python = ROOT / ".venv" / "uv" / "bin" / "uv", FOLDER / "colibri" / "bin" / "python"
    for command in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(python.parents[1])],
        ["pip", "install", "--quiet", "--python", str(python), *COLIBRI],
    ):
        installed = subprocess.run([uv, *command], capture_output=True, text=True, check=False)
        if installed.returncode:
            raise UserError(f"dbt-colibri is not installed: {installed.stderr.strip()[-300:]}")
    progress("dbt-colibri is installed")
    return [
        *(str(python.with_name("colibri")), "generate", "--disable-telemetry"),
        *("--manifest", str(folder / "manifest.json"), "--catalog", str(folder / "catalog.json")),
        *("--output-dir", str(folder / "colibri")),
    ]


def cost_of(command: Sequence[str]) -> Cost:
    """Run a program to its end; its output goes to `LOG`. Raises UserError if it fails."""
    with LOG.open("wb") as log:
        started = subprocess.run(
            [sys.executable, "-c", LAUNCHER, *command],
            cwd=ROOT,
            env={**clean_environment(), "PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if started.returncode:
        raise UserError(f"`{Path(command[0]).name}` failed: {started.stderr[-1000:]}")
    seconds, kilobytes = started.stderr.split()[-2:]
    return Cost(float(seconds), float(kilobytes) / 1024)


def main(manifest: str, cache: str, edges: str) -> None:
    """Follow the columns, write the edges between them, and print the nodes that were followed."""
    content = msgspec.json.decode(Path(manifest).read_bytes())
    found = column_lineage(content, "duckdb", cache_file=Path(cache))
    if found.unresolved:
        raise SystemExit(f"{len(found.unresolved)} columns do not resolve: {found.unresolved[0]}")
    between_columns = {
        (*edge.origin, *edge.target)
        for edge in found.edges
        if edge.target.name != ROWS and edge.kind in {Kind.VALUE, Kind.CONDITION, Kind.WINDOW}
    }
    Path(edges).write_bytes(msgspec.json.encode(sorted(between_columns)))
    print(*found.recomputed, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
