"""Lines by day, of which only some are held in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

HELD_BYTES = 64 << 20


class DayLines:
    """Collects lines by day, and returns the lines of one day in the order of their adding.

    When `held_bytes` are in memory, they are written to a file without a name in `folder`. The
    system removes it when the process ends, also if it is killed. Lines hold no line break.
    """

    def __init__(
        self, days: Sequence[int], *, folder: Path | None = None, held_bytes: int = HELD_BYTES
    ) -> None:
        self.days = days
        self.held_bytes = held_bytes
        # It stays open as long as this object, so no `with` block can close it.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._lines: dict[int, list[bytes]] = {day: [] for day in days}
        self._places: dict[int, list[tuple[int, int]]] = {day: [] for day in days}
        self._held = 0

    def add(self, day: int, line: bytes) -> None:
        """Add a line to a day."""
        self._lines[day].append(line)
        self._held += len(line)
        if self._held >= self.held_bytes:
            self._write()

    def read(self, day: int) -> list[bytes]:
        """All lines of a day."""
        lines: list[bytes] = []
        for start, length in self._places[day]:
            self._file.seek(start)
            lines += self._file.read(length).split(b"\n")
        return lines + self._lines[day]

    def _write(self) -> None:
        """Append the lines in memory to the file, those of a day together."""
        start = self._file.seek(0, 2)
        for day, lines in self._lines.items():
            if lines:
                content = b"\n".join(lines)
                self._file.write(content)
                self._places[day].append((start, len(content)))
                start += len(content)
                lines.clear()
        self._held = 0
