"""Where the lake lies: a folder of this machine, or a prefix in S3."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from include.lake.sources import FORMATS, Source, data_ending
from include.settings import Settings, UserError

THREADS = 16
"""Requests to S3 at a time; botocore keeps as many connections open."""
READ_REMEDY = "let this role list and read it (include/aws/policies/airflow_role.json)"
WRITE_REMEDY = "let this role write to it (include/aws/policies/compaction_role.json)"
HEAD_BYTES = 64 * 1024
"""Read from the start of a text file: its header line lies in there."""
FOOTER_BYTES = 64 * 1024
"""Read from the end of a Parquet file at first: the footer of most files is smaller."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a source: its path or URI, the folders between the source's and it, its bytes.

    `changed_at` is UTC without a zone, as the warehouse keeps it.
    """

    path: str
    folders: tuple[str, ...]
    size: int
    changed_at: datetime

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


class Lake(Protocol):
    """What the package asks of a lake; whatever goes wrong there is a UserError."""

    @property
    def root(self) -> str:
        """The folder's path, or the URI, without a slash at its end."""

    def files(self, source: Source, since: date | None = None) -> Iterable[DataFile]:
        """The data files of a source, in any order; a name with `_` or `.` ahead is none.

        Partitions of months before `since` may be left out.
        """

    def footer(self, file: DataFile) -> IO[bytes]:
        """A Parquet file, opened to read its footer."""

    def head(self, file: DataFile) -> bytes:
        """The first bytes of a file, 64 kB at most."""

    def exists(self, path: str) -> bool:
        """Whether a file is there, by its path or URI."""

    def read(self, path: str) -> bytes:
        """A whole file."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file; it is there whole, or not at all."""

    def move(self, path: str, target: str) -> None:
        """Move a file; at no time is it in neither place. One that is gone is no error."""

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone is no error."""

    def check(self) -> None:
        """Raise UserError if the lake is not there or cannot be read."""


def open_lake(settings: Settings) -> Lake:
    """The lake of the settings; nothing is asked of it yet."""
    return Bucket(settings.lake) if settings.is_s3 else Folder(Path(settings.lake))


class Folder:
    """A lake in a folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def root(self) -> str:
        """The folder's path."""
        return str(self.path)

    def files(self, source: Source, since: date | None = None) -> Iterator[DataFile]:  # noqa: ARG002
        """The data files of a source; all of them, since looking at a folder costs next to nothing.

        Raises UserError for a folder that cannot be listed.
        """
        self._check_kind()
        folder = self.path / source.name
        for entry in data_files(folder, source.formats):
            stat = entry.stat()
            yield DataFile(
                path=entry.path,
                folders=Path(entry.path).relative_to(folder).parts[:-1],
                size=stat.st_size,
                changed_at=datetime.fromtimestamp(stat.st_mtime_ns // 1000 / 1e6, UTC).replace(
                    tzinfo=None
                ),
            )

    def footer(self, file: DataFile) -> IO[bytes]:
        """The file itself; raises OSError."""
        return Path(file.path).open("rb")

    def head(self, file: DataFile) -> bytes:
        """The first bytes of a file; raises OSError."""
        with Path(file.path).open("rb") as opened:
            return opened.read(HEAD_BYTES)

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return Path(path).exists()

    def read(self, path: str) -> bytes:
        """A whole file; raises OSError."""
        return Path(path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        """Write a file under a hidden name, and rename it when it lies on the disk."""
        hidden = Path(path).with_name(f".{Path(path).name}")
        hidden.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(path)

    def move(self, path: str, target: str) -> None:
        """Rename a file; raises OSError."""
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            Path(path).rename(target)

    def remove(self, path: str) -> None:
        """Remove a file; raises OSError."""
        Path(path).unlink(missing_ok=True)

    def check(self) -> None:
        """The lake is a folder that can be read."""
        self._check_kind()
        try:
            # A folder whose names can be listed may still refuse to be entered.
            next((path.stat() for path in self.path.iterdir()), None)
        except FileNotFoundError:
            raise UserError(
                f"the lake {self.path} does not exist: land events with `make land FILES=…`, "
                "or make sample data with `make generate`."
            ) from None
        except PermissionError:
            message = f"the lake {self.path} cannot be read: give this user access to it."
            raise UserError(message) from None

    def _check_kind(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(
                f"the lake {self.path} is a file: set GAME_ANALYTICS_LAKE to a folder, "
                "or move the file."
            )


def data_files(folder: Path, formats: Mapping[str, str] = FORMATS) -> Iterator[os.DirEntry[str]]:
    """The data files at and below a folder, in any order; a name with `_` or `.` ahead is none."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}): mend its rights.") from None
    for entry in entries:
        if entry.name.startswith(("_", ".")):
            continue
        if entry.is_dir():
            yield from data_files(Path(entry.path), formats)
        elif data_ending(entry.name, formats):
            yield entry


class Bucket:
    """A lake below an S3 prefix, `s3://bucket/prefix`.

    Credentials and region come from botocore's own chain: a role, a profile, or the environment.
    """

    def __init__(self, uri: str) -> None:
        import boto3
        from botocore.config import Config

        self.root = uri
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        # It would tell in each task's log where it found credentials.
        logging.getLogger("botocore.credentials").setLevel(logging.WARNING)
        self.client = boto3.client(
            "s3",
            config=Config(
                max_pool_connections=THREADS, retries={"mode": "standard", "max_attempts": 5}
            ),
        )

    def files(self, source: Source, since: date | None = None) -> Iterator[DataFile]:
        """The data files of a source.

        300,000 objects are 300 requests, one after the other: so the months are listed beside each
        other. Keys in no month are found as well, for the listing to complain of.
        """
        base = f"{self.prefix}{source.name}/"
        # Year and month: a folder each, or the first two parts of one folder's date.
        delimiters = {3: "//", 1: "--"}.get(len(source.partition_columns), "")
        with ThreadPoolExecutor(THREADS) as pool, self._explained():
            waiting: list[Future[tuple[list[dict[str, Any]], list[str], int]]] = [
                pool.submit(self._page, base, delimiters, 0)
            ]
            while waiting:
                contents, prefixes, level = waiting.pop().result()
                waiting += [
                    pool.submit(self._page, prefix, delimiters, level)
                    for prefix in prefixes
                    if not _is_before(prefix.removeprefix(base), since)
                ]
                for entry in contents:
                    folders = entry["Key"].removeprefix(base).split("/")
                    name = folders.pop()
                    if not any(
                        part.startswith(("_", ".")) for part in [*folders, name]
                    ) and data_ending(name, source.formats):
                        yield DataFile(
                            path=f"s3://{self.bucket}/{entry['Key']}",
                            folders=tuple(folders),
                            size=entry["Size"],
                            changed_at=entry["LastModified"].astimezone(UTC).replace(tzinfo=None),
                        )

    def _page(
        self, prefix: str, delimiters: str, level: int
    ) -> tuple[list[dict[str, Any]], list[str], int]:
        """What lies below a prefix: the objects, and the prefixes of the next level."""
        asked = {"Bucket": self.bucket, "Prefix": prefix}
        if level < len(delimiters):
            asked["Delimiter"] = delimiters[level]
        contents: list[dict[str, Any]] = []
        prefixes: list[str] = []
        for page in self.client.get_paginator("list_objects_v2").paginate(**asked):
            contents += page.get("Contents", [])
            prefixes += [found["Prefix"] for found in page.get("CommonPrefixes", [])]
        return contents, prefixes, level + 1

    def footer(self, file: DataFile) -> IO[bytes]:
        """The file's end, as much of it as its footer takes."""
        import io

        if not file.size:
            return io.BytesIO()
        key = self._key(file.path)
        end = self._read(key, Range=f"bytes=-{min(FOOTER_BYTES, file.size)}")
        # The last eight bytes are the footer's length and a mark.
        length = int.from_bytes(end[-8:-4], "little") + 8
        if len(end) < length <= file.size:
            end = self._read(key, Range=f"bytes=-{length}")
        return io.BytesIO(end)

    def head(self, file: DataFile) -> bytes:
        """The first bytes of an object."""
        if not file.size:
            return b""
        return self._read(self._key(file.path), Range=f"bytes=0-{HEAD_BYTES - 1}")

    def exists(self, path: str) -> bool:
        """Whether an object is there.

        By listing: for a key that is not there S3 answers "denied" to a role that may list only
        some prefixes.
        """
        key = self._key(path)
        with self._explained():
            found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        return any(entry["Key"] == key for entry in found.get("Contents", []))

    def read(self, path: str) -> bytes:
        """A whole object."""
        return self._read(self._key(path))

    def _read(self, key: str, **options: str) -> bytes:
        with self._explained():
            found = self.client.get_object(Bucket=self.bucket, Key=key, **options)
            content: bytes = found["Body"].read()
        return content

    def write(self, path: str, content: bytes) -> None:
        """Write an object."""
        with self._explained("written to", WRITE_REMEDY):
            self.client.put_object(Bucket=self.bucket, Key=self._key(path), Body=content)

    def move(self, path: str, target: str) -> None:
        """Copy an object, then remove it."""
        source = {"Bucket": self.bucket, "Key": self._key(path)}
        if self.exists(path):
            with self._explained("written to", WRITE_REMEDY):
                self.client.copy(source, self.bucket, self._key(target))
            self.remove(path)

    def remove(self, path: str) -> None:
        """Remove an object; alone, since of many at once S3 refuses some without an error."""
        with self._explained("written to", WRITE_REMEDY):
            self.client.delete_object(Bucket=self.bucket, Key=self._key(path))

    def _key(self, path: str) -> str:
        return path.removeprefix(f"s3://{self.bucket}/")

    def check(self) -> None:
        """The bucket is there and its prefix can be listed."""
        with self._explained():
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    @contextmanager
    def _explained(self, done: str = "read", denied: str = READ_REMEDY) -> Iterator[None]:
        """Turn what S3 and botocore raise into one sentence with a remedy."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            remedies = {
                "NoSuchBucket": "make the bucket, or set GAME_ANALYTICS_LAKE to another",
                "AccessDenied": denied,
                "NoSuchKey": "a file went while the lake was read: run again",
                "ExpiredToken": "the credentials have expired: renew them and run again",
            }
            remedy = remedies.get(code, "mend what S3 names, and run again")
            message = f"the lake {self.root} cannot be {done} ({error}): {remedy}."
            raise UserError(message) from None
        except BotoCoreError as error:
            raise UserError(
                f"the lake {self.root} cannot be reached ({error}): "
                "give this machine AWS credentials, a region and a way to S3."
            ) from None


def _is_before(relative: str, since: date | None) -> bool:
    """Whether a prefix below a source's, `year=2026/month=` say, lies in a month before `since`."""
    found = re.match(r"(?:date|year)=([0-9]{4})[-/](?:(?:month=)?([0-9]{1,2})[-/])?", relative)
    if not (since and found):
        return False
    return (int(found[1]), int(found[2] or 12)) < (since.year, since.month)
