"""A lake in S3."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date
from pathlib import Path
from typing import IO, Any

from include.lake.sources import LEDGER_ROWS, Source
from include.lake.storage.lake import THREADS, DataFile
from include.object_store import aws_errors, bucket_and_prefix, s3_client

READ_REMEDY = (
    "let this role list and read it (include/aws/policies/airflow_role.json), and set "
    "GAME_ANALYTICS_LAKE_OWNER to the account of the bucket, or leave it empty"
)
WRITE_REMEDY = "let this role write to it (include/aws/policies/compaction_role.json)"
WRITE_ROWS_REMEDY = (
    f"let this role write and delete below {LEDGER_ROWS}/ (include/aws/policies/airflow_role.json)"
)
REMOVED_REMEDY = "a file was removed while the lake was read: run again"
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
        self.owner = owner
        self.bucket, self.prefix = bucket_and_prefix(uri)
        self.client = s3_client(owner)

    def files(self, source: Source, since: date | None = None) -> Iterator[DataFile]:
        """The files of a source, without partitions of months before `since`.

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
                    if file := self._data_file(base, entry):
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

    def _data_file(self, base: str, entry: dict[str, Any]) -> DataFile | None:
        """The file of an entry of a listing; None for a hidden object and for one of a folder.

        The console writes an object with a slash at its end for a folder, and EMR and Glue write
        one with the ending `_$folder$`.
        """
        *folders, name = entry["Key"].removeprefix(base).split("/")
        is_hidden = any(part.startswith(("_", ".")) for part in [*folders, name])
        is_folder = not entry["Size"] and (not name or name.endswith("_$folder$"))
        if is_hidden or is_folder:
            return None
        return DataFile(
            path=f"s3://{self.bucket}/{entry['Key']}",
            folders=tuple(folders),
            size=entry["Size"],
            changed_at=entry["LastModified"].astimezone(UTC).replace(tzinfo=None),
            version=entry["ETag"].strip('"'),
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

    def local_copy(self, file: DataFile, target: Path) -> Path:
        """Download an object to the target, whose path is returned. Raises OSError."""
        with self._read_errors():
            self.client.download_file(self.bucket, self._key(file.path), str(target))
        return target

    def is_unchanged(self, file: DataFile) -> bool:
        """Whether an object has the size and the ETag with which it was listed."""
        with self._read_errors():
            found = self.client.head_object(Bucket=self.bucket, Key=self._key(file.path))
        return (found["ContentLength"], found["ETag"].strip('"')) == (file.size, file.version)

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
        with self._write_errors(path):
            self.client.put_object(Bucket=self.bucket, Key=self._key(path), Body=content)

    def upload(self, local: Path, path: str) -> None:
        """Write an object with the content of a file of this machine."""
        from boto3.exceptions import S3UploadFailedError

        with self._write_errors(path):
            try:
                self.client.upload_file(str(local), self.bucket, self._key(path))
            except S3UploadFailedError as error:
                # boto3 wraps the error of S3, which has the code.
                raise (error.__context__ or error) from None

    def remove(self, path: str) -> None:
        """Remove an object with a request of its own.

        A request for several objects succeeds even if S3 refuses to remove some of them.
        """
        with self._write_errors(path):
            self.client.delete_object(Bucket=self.bucket, Key=self._key(path))

    def _key(self, path: str) -> str:
        return path.removeprefix(f"s3://{self.bucket}/")

    def check(self) -> None:
        """Raise UserError if the bucket does not exist or its prefix cannot be listed."""
        with self._read_errors():
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    def _read_errors(self) -> AbstractContextManager[None]:
        return self._errors("read", READ_REMEDY)

    def _write_errors(self, path: str) -> AbstractContextManager[None]:
        is_of_rows = path.startswith(f"{self.root}/{LEDGER_ROWS}/")
        return self._errors("written to", WRITE_ROWS_REMEDY if is_of_rows else WRITE_REMEDY)

    def _errors(self, action: str, denied: str) -> AbstractContextManager[None]:
        return aws_errors(
            f"the lake {self.root}",
            action,
            denied=denied,
            NoSuchBucket="make the bucket, or set GAME_ANALYTICS_LAKE to another",
            NoSuchKey=REMOVED_REMEDY,
            # A download asks for the object's size first, and that error has only a number.
            **{"404": REMOVED_REMEDY},
        )


def _is_before(relative: str, since: date | None) -> bool:
    """Whether a prefix below the source's prefix is in a month before `since`.

    Such prefixes are `year=2026/`, `year=2026/month=09/`, `date=2026-` and `date=2026-09-`.
    """
    found = re.match(r"(?:date|year)=([0-9]{4})[-/](?:(?:month=)?([0-9]{1,2})[-/])?", relative)
    if not (since and found):
        return False
    return (int(found[1]), int(found[2] or 12)) < (since.year, since.month)
