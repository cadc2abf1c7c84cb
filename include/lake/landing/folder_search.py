"""Finds the event files in a folder, and names every other file that is not passed over by rule."""

from __future__ import annotations

import errno
import gzip
import os
import re
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from include.lake.landing.records import BYTE_ORDER_MARK

ENDINGS = (".jsonl", ".ndjson", ".json")
"""The endings of event files in a folder, in any letter case. `.gz` may follow."""

PASSED_OVER_BEGINNINGS = ("_", ".")
PASSED_OVER_ENDINGS = ("~", ".crc", ".manifest", ".md5", ".sha256")
"""Names of files that other programs write for themselves. They are passed over without a word."""

# Firehose ends a name with the time and a random text, and with `.gz` if it compresses.
_FIREHOSE = re.compile(r"-[0-9]{4}(-[0-9]{2}){5}-[0-9A-Za-z-]+$")
_COMPRESSED = (".zst", ".zip", ".bz2", ".xz", ".snappy", ".lz4", ".tar", ".tgz", ".7z", ".z")
_SNIFFED_BYTES = 4096


@dataclass
class Found:
    """The event files of a folder, and (path, reason) of everything there that cannot be read."""

    files: list[str] = field(default_factory=list)
    not_read: list[tuple[str, str]] = field(default_factory=list)


def search_folder(folder: Path, lake: Path) -> Found:
    """Find the event files below a folder, in the order of their paths.

    Links to files and folders are followed, and each folder is searched once. The lake is passed
    over. Raises OSError if `folder` itself cannot be listed.
    """
    found = Found()
    searched = _identity(lake) if lake.is_dir() and not lake.samefile(folder) else set()
    folders = [str(folder)]
    linked: list[str] = []
    while folders or linked:
        # Links come last, so that a folder keeps its own path if a link leads to it, too.
        path = folders.pop() if folders else linked.pop()
        try:
            identity = _identity(Path(path))
            if identity <= searched:
                continue
            searched |= identity
            entries = [x for x in os.scandir(path) if not x.name.startswith(PASSED_OVER_BEGINNINGS)]
        except OSError as error:
            if path == str(folder):
                raise
            found.not_read.append((path, f"it cannot be listed: {error.strerror}"))
            continue
        for entry in sorted(entries, key=lambda entry: entry.name):
            if _is_folder(entry):
                (linked if entry.is_symlink() else folders).append(entry.path)
            else:
                _add_file(entry, found)
    found.files.sort()
    found.not_read.sort()
    return found


def _identity(folder: Path) -> set[tuple[int, int]]:
    status = folder.stat()
    return {(status.st_dev, status.st_ino)}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


def _add_file(entry: os.DirEntry[str], found: Found) -> None:
    name = entry.name.lower()
    if name.endswith(PASSED_OVER_ENDINGS):
        return
    reason = _not_a_file(entry) or _not_an_event_file(entry.path, name)
    if reason:
        found.not_read.append((entry.path, reason))
    else:
        found.files.append(entry.path)


def _not_a_file(entry: os.DirEntry[str]) -> str:
    """Why a directory entry cannot be read as a file; an empty text if it can."""
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        if entry.is_symlink() and error.errno == errno.ENOENT:
            return "it is a link to a file that does not exist"
        if error.errno == errno.ELOOP:
            return "it is a link that leads back to itself"
        return f"it cannot be read: {error.strerror}"
    if stat.S_ISREG(mode):
        return ""
    return "it is a named pipe" if stat.S_ISFIFO(mode) else "it is a socket or a device"


def _not_an_event_file(path: str, name: str) -> str:
    """Why a file is no event file, by its name in lower case; an empty text if it is one."""
    stem = name.removesuffix(".gz")
    if stem.endswith(ENDINGS) or _FIREHOSE.search(stem):
        return ""
    if name.endswith(".parquet"):
        return "it is a Parquet file, and landing reads lines of JSON"
    if name.endswith(_COMPRESSED):
        return "its compression cannot be read, only that of gzip"
    if "." in stem:
        return "its ending is not that of an event file"
    return "" if _holds_an_object(path) else "it has no ending and does not begin with `{`"


def _holds_an_object(path: str) -> bool:
    """Whether the text of a file, plain or gzip, begins with a brace.

    Also true for a file that cannot be read, because its landing will raise the error.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(2)
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if head == b"\x1f\x8b" else file
            text = stream.read(_SNIFFED_BYTES)
    except (OSError, EOFError, zlib.error):
        return True
    return text.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{")
