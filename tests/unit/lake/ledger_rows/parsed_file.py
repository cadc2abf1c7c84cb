"""What `write_rows` makes of one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Row: TypeAlias = tuple[str | None, ...]

COLUMNS = {"id": True, "name": True, "note": False}
"""The columns of most tests; a file may lack the last one."""


@dataclass(frozen=True)
class Written:
    """The rows of a target: good rows by line, and line, reason and text of the bad rows."""

    good: list[tuple[int, Row]]
    bad: list[tuple[int, str, str]]

    @property
    def values(self) -> list[Row]:
        """The values of the good rows in the order of their lines."""
        return [row for _, row in self.good]

    @property
    def reasons(self) -> list[tuple[int, str]]:
        """Line and reason of the bad rows in the order of their lines."""
        return [(line, reason) for line, reason, _ in self.bad]


Parse: TypeAlias = Callable[..., Written]
