"""Reads the files below DOCS for the pages in Airflow's UI, from a folder or an S3 prefix.

The API server imports nothing of `include`: on MWAA that folder lies among the DAGs, and the API
server has only `plugins/` on its path. So this file reads the two settings that it needs by
itself, and `tests/unit/plugins/test_docs.py` compares them with `include/settings.py`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds `plugins/`."""
DEFAULT = "data/site"
"""The default of the setting DOCS."""
CHUNK = 64 * 1024
NAME_LENGTH, PART_LENGTH = 1024, 255
"""The longest name of a file, which S3 limits, and the longest part of it, as folders limit it."""
NAME = re.compile(
    r"(?:[^/\\\x00-\x1f\x7f.][^/\\\x00-\x1f\x7f]*/)*[^/\\\x00-\x1f\x7f.][^/\\\x00-\x1f\x7f]*"
)
"""The name of a file that may be read: no absolute path, no `..`, no hidden file or folder, no
backslash and no control character."""


class DocsError(Exception):
    """DOCS cannot be read; the text says why."""


@dataclass(frozen=True)
class File:
    """An open file: its entity tag with quotes, its size in bytes, and its content."""

    etag: str
    size: int
    stream: BinaryIO

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, then close the file."""
        with self.stream as stream:
            while chunk := stream.read(CHUNK):
                yield chunk

    def read(self) -> bytes:
        """Return the whole content, and close the file."""
        return b"".join(self.chunks())


class Docs(Protocol):
    """The files below DOCS; each method raises DocsError if DOCS cannot be read."""

    root: str

    def open(self, name: str) -> File | None:
        """Open a file; None if there is no such file or if the name is not allowed."""

    def names(self, prefix: str) -> list[str]:
        """Return the names of the files below a folder whose name ends with a slash."""


def setting(environ: Mapping[str, str], name: str, default: str = "") -> str:
    """Return a setting of the package, as `Settings.from_env` does."""
    for prefix in ("GAME_ANALYTICS_", "AIRFLOW__GAME_ANALYTICS__"):
        if prefix + name in environ:
            return environ[prefix + name].strip()
    return default


def docs_root(environ: Mapping[str, str]) -> str:
    """Return the folder or S3 prefix DOCS, without a slash at its end."""
    place = setting(environ, "DOCS", DEFAULT)
    if place.startswith("s3://"):
        return place.rstrip("/")
    return str((ROOT / Path(place).expanduser()).resolve())


def docs() -> Docs:
    """Return the files below DOCS."""
    return _docs(docs_root(os.environ), setting(os.environ, "DOCS_OWNER"))


@lru_cache(maxsize=4)
def _docs(root: str, owner: str) -> Docs:
    return DocsInS3(root, owner) if root.startswith("s3://") else DocsInFolder(root)


def is_allowed(name: str) -> bool:
    """Return whether a name can be that of a published file."""
    parts = [len(part.encode(errors="replace")) for part in name.split("/")]
    is_short = sum(parts) + len(parts) - 1 <= NAME_LENGTH and max(parts) <= PART_LENGTH
    return is_short and bool(NAME.fullmatch(name))


class DocsInFolder:
    """Files in a folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = Path(root)

    def open(self, name: str) -> File | None:
        """Open a file; None if there is no such file or if the name is not allowed."""
        if not is_allowed(name):
            return None
        try:
            root = self.path.resolve()
            path = (root / name).resolve()
            # A link may lead to another place below DOCS, but not out of it.
            if not path.is_relative_to(root):
                return None
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RuntimeError) as error:
            # A name that is too long or no text of the file system, or a link to itself.
            if isinstance(error, PermissionError):
                raise DocsError(f"{name} cannot be read: {error.strerror}.") from None
            return None
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            os.close(number)
            return None
        etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"'
        return File(etag, found.st_size, os.fdopen(number, "rb"))

    def names(self, prefix: str) -> list[str]:
        """Return the names of the files below a folder whose name ends with a slash."""
        if not is_allowed(prefix.removesuffix("/")):
            return []
        root = self.path.resolve()
        try:
            found = [
                path.relative_to(root).as_posix()
                for path in (root / prefix).rglob("*")
                if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
            ]
        except OSError as error:
            raise DocsError(f"{prefix} cannot be listed: {error.strerror}.") from None
        return sorted(found)


class DocsInS3:
    """Files below an S3 prefix."""

    def __init__(self, root: str, owner: str) -> None:
        self.root = root
        self.bucket, _, prefix = root.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self.owner = {"ExpectedBucketOwner": owner} if owner else {}

    @property
    def client(self) -> Any:
        """The client of S3, with the credentials of the API server."""
        return _s3_client()

    def open(self, name: str) -> File | None:
        """Open a file; None if there is no such file or if the name is not allowed."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not is_allowed(name):
            return None
        key = self.prefix + name
        try:
            found = self.client.get_object(Bucket=self.bucket, Key=key, **self.owner)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404", "KeyTooLongError"}:
                return None
            raise self._error(error) from None
        except BotoCoreError as error:
            raise self._error(error) from None
        return File(found["ETag"], found["ContentLength"], found["Body"])

    def names(self, prefix: str) -> list[str]:
        """Return the names of the files below a folder whose name ends with a slash."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not is_allowed(prefix.removesuffix("/")):
            return []
        pages = self.client.get_paginator("list_objects_v2")
        try:
            return [
                entry["Key"].removeprefix(self.prefix)
                for page in pages.paginate(
                    Bucket=self.bucket, Prefix=self.prefix + prefix, **self.owner
                )
                for entry in page.get("Contents", [])
            ]
        except (BotoCoreError, ClientError) as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> DocsError:
        return DocsError(f"{self.root} cannot be read: {' '.join(str(error).split())}")


@lru_cache(maxsize=1)
def _s3_client() -> Any:
    import boto3
    from botocore.config import Config

    # A page must not wait for minutes until S3 answers.
    config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
    return boto3.client("s3", config=config)
