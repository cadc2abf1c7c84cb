"""Keeps the lineage of each node in a file, so that a run follows only what has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from include.manifest import without_collector
from include.site.lineage.edges import Edge, Unresolved

VERSION = 2
"""Raise it when the same query gives other edges."""


class NodeLineage(msgspec.Struct, frozen=True):
    """What was found for one node. `key` is the hash of everything that it depends on."""

    key: str
    columns: Sequence[str]
    edges: Sequence[Edge]
    unresolved: Sequence[Unresolved]


def key_of(*parts: object) -> str:
    """A hash of the parts; they must be values that JSON has."""
    return hashlib.sha256(msgspec.json.encode([VERSION, *parts])).hexdigest()


@cache
def code_hash(folder: Path = Path(__file__).parent) -> str:
    """A hash over the code of this folder and the breakers of personal data."""
    files = [*folder.rglob("*.py"), folder / "personal_data.yml"]
    return key_of(
        *(
            [file.relative_to(folder).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()]
            for file in sorted(files)
        )
    )


def read(path: Path | None) -> dict[str, NodeLineage]:
    """The kept results by node. A file that is missing or damaged holds none."""
    if path is None:
        return {}
    try:
        with without_collector():
            return msgspec.json.decode(path.read_bytes(), type=dict[str, NodeLineage])
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}


def write(path: Path | None, results: dict[str, NodeLineage]) -> None:
    """Replace the file at once, so that another process reads the old one or the new one."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_bytes(msgspec.json.encode(results))
        new.replace(path)
