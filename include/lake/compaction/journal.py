"""The journal of a compaction, a file of the lake that names what is merged into what.

It is `_compaction/<source>.json` until every merged file is moved. Then its content is kept as
`_compaction/<source>/<id of the merge>.json`, because the landing needs to know that the rows of a
file are in the lake although the file is not. All paths are relative to the lake.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from include.settings import UserError

FOLDER = "_compaction"


@dataclass(frozen=True)
class Move:
    """A file that was merged, and its path below `_compacted/`.

    `version` identifies the content whose rows were merged: size, time of change and inode of a
    file in a folder, the ETag of an object in S3.
    """

    path: str
    target: str
    version: str


@dataclass(frozen=True)
class Journal:
    """The merge of some files of one source into one file.

    `merge_id` is a hash of the paths and versions of the files. `merged` is the path of the file
    with their rows.
    """

    source: str
    merge_id: str
    merged: str
    moves: tuple[Move, ...]

    @property
    def record(self) -> str:
        """The path at which the journal is kept after the end of the merge."""
        return f"{FOLDER}/{self.source}/{self.merge_id}.json"

    @property
    def undone(self) -> str:
        """The path to which the merged file is moved if the merge is undone."""
        return f"_compacted/{self.merge_id}/{self.merged}"

    def to_json(self) -> bytes:
        """The journal as the content of a file."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Journal:
        """The journal in the content of a file. Raises UserError for one of another version."""
        fields = json.loads(content)
        try:
            return cls(**fields | {"moves": tuple(Move(**move) for move in fields["moves"])})
        except TypeError:
            raise UserError(
                f"a journal in {FOLDER}/ of the lake was written by another version of this "
                "package: end that compaction with that version, then run again."
            ) from None


def journal_path(source: str) -> str:
    """The path of the journal of a source's compaction while merged files must be moved."""
    return f"{FOLDER}/{source}.json"


def lock_path(source: str) -> str:
    """The path of the lock of a source's compaction."""
    return f"{FOLDER}/{source}.lock"


def counter_path(source: str) -> str:
    """The path of the number of merges of a source that were begun so far."""
    return f"{FOLDER}/{source}.merges"


class MergedFiles:
    """Which files of a lake in a folder were merged into which files."""

    def __init__(self, lake: Path) -> None:
        """Read all journals, also the one of a compaction that has not ended."""
        self._lake = lake
        self._merged: dict[str, set[str]] = {}
        for path in _journals(lake / FOLDER):
            journal = Journal.from_json(path.read_bytes())
            for move in journal.moves:
                self._merged.setdefault(move.path, set()).add(journal.merged)

    def has_rows_of(self, path: str) -> bool:
        """Whether the lake has the file, or a file into which it was merged, directly or not."""
        waiting, seen = [path], {path}
        while waiting:
            name = waiting.pop()
            if (self._lake / name).exists():
                return True
            found = self._merged.get(name, set()) - seen
            seen |= found
            waiting += found
        return False


def _journals(folder: Path) -> Iterator[Path]:
    """The journals in a folder, without those that a killed process has written in part."""
    for pattern in ("*.json", "*/*.json"):
        yield from (path for path in folder.glob(pattern) if not path.name.startswith("."))
