"""A lake in S3."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date
from typing import IO, Any

from include.lake.sources import Source, data_ending
from include.lake.storage.lake import HEAD_BYTES, THREADS, DataFile
from include.object_store import aws_errors, bucket_and_prefix, s3_client

READ_REMEDY = (
    "let this role list and read it (include/aws/policies/airflow_role.json), and set "
    "GAME_ANALYTICS_LAKE_OWNER to the account of the bucket, or leave it empty"
)
WRITE_REMEDY = "let this role write to it (include/aws/policies/compaction_role.json)"
FOOTER_BYTES = 64 * 1024
"""How much of a Parquet file's end is read first: the footer of most files is smaller."""


@dataclass
class _Level:
    """The objects below a prefix, and the prefixes below it, which are listed at `depth`."""

    depth: int
    objects: list[dict[str, Any]] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)


class S3Lake:
    """A `Lake` below an S3 prefix, `s3://bucket/prefix`.

    `owner` is the account that must own the bucket, empty for any.
    """

    def __init__(self, uri: str, owner: str = "") -> None:
        self.root = uri
        self.bucket, self.prefix = bucket_and_prefix(uri)
        self.client = s3_client(owner)

    def files(self, source: Source, since: date | None = None) -> Iterator[DataFile]:
        """The data files of a source, without partitions of months before `since`.

        One request lists 1,000 objects, so the months are listed in parallel. Objects that are in
        no month are returned too, so that the caller can report them.
        """
        base = f"{self.prefix}{source.name}/"
        # These end a prefix after its year and after its month: `year=2026/` and `month=09/` are
        # folders, while `2026-` and `09-` are the first two parts of a folder's date.
        delimiters = {3: "//", 1: "--"}.get(len(source.partition_columns), "")
        with ThreadPoolExecutor(THREADS) as pool, self._read_errors():
            waiting: list[Future[_Level]] = [pool.submit(self._list, base, delimiters, 0)]
            while waiting:
                level = waiting.pop().result()
                waiting += [
                    pool.submit(self._list, prefix, delimiters, level.depth)
                    for prefix in level.prefixes
                    if not _is_before(prefix.removeprefix(base), since)
                ]
                for entry in level.objects:
                    if file := self._data_file(source, base, entry):
                        yield file

    def _list(self, prefix: str, delimiters: str, depth: int) -> _Level:
        """List what is below a prefix at a depth: 0 is the source's folder, 1 is a year."""
        place = {"Bucket": self.bucket, "Prefix": prefix}
        if depth < len(delimiters):
            place["Delimiter"] = delimiters[depth]
        level = _Level(depth + 1)
        for page in self.client.get_paginator("list_objects_v2").paginate(**place):
            level.objects += page.get("Contents", [])
            level.prefixes += [found["Prefix"] for found in page.get("CommonPrefixes", [])]
        return level

    def _data_file(self, source: Source, base: str, entry: dict[str, Any]) -> DataFile | None:
        """The data file of an entry of a listing; None for an object that is no data file."""
        *folders, name = entry["Key"].removeprefix(base).split("/")
        is_hidden = any(part.startswith(("_", ".")) for part in [*folders, name])
        if is_hidden or not data_ending(name, source.formats):
            return None
        return DataFile(
            path=f"s3://{self.bucket}/{entry['Key']}",
            folders=tuple(folders),
            size=entry["Size"],
            changed_at=entry["LastModified"].astimezone(UTC).replace(tzinfo=None),
        )

    def footer(self, file: DataFile) -> IO[bytes]:
        """The end of a Parquet file: at least its footer."""
        if not file.size:
            return io.BytesIO()
        key = self._key(file.path)
        end = self._read(key, Range=f"bytes=-{min(FOOTER_BYTES, file.size)}")
        # The last eight bytes of a Parquet file are its footer's length and the mark `PAR1`.
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
        """Whether there is an object at a path.

        The answer comes from a listing. A request for the object itself would be denied instead of
        answered with "not found" if the role may list only some prefixes.
        """
        key = self._key(path)
        with self._read_errors():
            found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        return any(entry["Key"] == key for entry in found.get("Contents", []))

    def read(self, path: str) -> bytes:
        """The content of an object."""
        return self._read(self._key(path))

    def _read(self, key: str, **options: str) -> bytes:
        with self._read_errors():
            found = self.client.get_object(Bucket=self.bucket, Key=key, **options)
            content: bytes = found["Body"].read()
        return content

    def write(self, path: str, content: bytes) -> None:
        """Write an object."""
        with self._write_errors():
            self.client.put_object(Bucket=self.bucket, Key=self._key(path), Body=content)

    def move(self, path: str, target: str) -> None:
        """Copy an object, then remove it."""
        source = {"Bucket": self.bucket, "Key": self._key(path)}
        if self.exists(path):
            with self._write_errors():
                self.client.copy(source, self.bucket, self._key(target))
            self.remove(path)

    def remove(self, path: str) -> None:
        """Remove an object with a request of its own.

        A request for several objects succeeds even if S3 refuses to remove some of them.
        """
        with self._write_errors():
            self.client.delete_object(Bucket=self.bucket, Key=self._key(path))

    def _key(self, path: str) -> str:
        return path.removeprefix(f"s3://{self.bucket}/")

    def check(self) -> None:
        """Raise UserError if the bucket does not exist or its prefix cannot be listed."""
        with self._read_errors():
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    def _read_errors(self) -> AbstractContextManager[None]:
        return self._errors("read", READ_REMEDY)

    def _write_errors(self) -> AbstractContextManager[None]:
        return self._errors("written to", WRITE_REMEDY)

    def _errors(self, action: str, denied: str) -> AbstractContextManager[None]:
        return aws_errors(
            f"the lake {self.root}",
            action,
            denied=denied,
            NoSuchBucket="make the bucket, or set GAME_ANALYTICS_LAKE to another",
            NoSuchKey="a file was removed while the lake was read: run again",
        )


def _is_before(relative: str, since: date | None) -> bool:
    """Whether a prefix below the source's prefix is in a month before `since`.

    Such prefixes are `year=2026/`, `year=2026/month=09/`, `date=2026-` and `date=2026-09-`.
    """
    found = re.match(r"(?:date|year)=([0-9]{4})[-/](?:(?:month=)?([0-9]{1,2})[-/])?", relative)
    if not (since and found):
        return False
    return (int(found[1]), int(found[2] or 12)) < (since.year, since.month)
