"""The files of a lake in S3, as a compaction needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from contextlib import AbstractContextManager

from include.lake.compaction.s3_lock import CONFLICTS, read_lock, s3_lock
from include.lake.storage.s3 import READ_REMEDY, WRITE_REMEDY, S3Lake
from include.object_store import aws_errors


class S3Store:
    """A `Store` of a lake in S3. The version of a file is its ETag."""

    def __init__(self, lake: S3Lake) -> None:
        self._lake = lake
        self._client = lake.client
        self._bucket = lake.bucket

    def lock(self, path: str) -> AbstractContextManager[None]:
        """Hold the lock in an object."""
        thing = f"{path.rsplit('/', 1)[-1].removesuffix('.lock')} in {self._lake.root}"
        key = self._key(path)
        errors, owner = self._write_errors, self._lake.owner
        return s3_lock(self._client, self._bucket, key, thing, errors, owner)

    def holder(self, path: str) -> str:
        """The owner of a lock whose lease has not ended."""
        with self._read_errors():
            held = read_lock(self._client, self._bucket, self._key(path))
        return held.owner if held and not held.is_expired else ""

    def landing_waits(self) -> AbstractContextManager[None]:
        """Nothing, because landing writes only into folders."""
        return contextlib.nullcontext()

    def exists(self, path: str) -> bool:
        """Whether there is an object at a path."""
        return self.version(path) is not None

    def version(self, path: str) -> str | None:
        """The ETag of an object, from a listing.

        A request for a missing object itself would be denied instead of answered with "not found"
        if the role may list only some prefixes.
        """
        key = self._key(path)
        with self._read_errors():
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        etags = (entry["ETag"] for entry in found.get("Contents", []) if entry["Key"] == key)
        return next(etags, None)

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """The content and the ETag, from one answer."""
        from botocore.exceptions import ClientError

        with self._read_errors():
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=self._key(path))
                return found["Body"].read(), found["ETag"]
            except ClientError:
                if self.exists(path):
                    raise
                return None

    def read(self, path: str) -> bytes:
        """The content of an object."""
        return self._lake.read(self._full(path))

    def write(self, path: str, content: bytes) -> None:
        """Write an object."""
        self._lake.write(self._full(path), content)

    def remove(self, path: str) -> None:
        """Remove an object."""
        self._lake.remove(self._full(path))

    def move(self, path: str, target: str, version: str) -> None:
        """Copy an object if it has a version, and remove it if it still has it after that."""
        if not self.exists(target):
            source = {"Bucket": self._bucket, "Key": self._key(path)}
            place = {"Bucket": self._bucket, "Key": self._key(target)}
            if not self._unless_changed(
                path, version, "copy_object", **place, CopySource=source, CopySourceIfMatch=version
            ):
                return
        if self.exists(path):
            place = {"Bucket": self._bucket, "Key": self._key(path)}
            self._unless_changed(path, version, "delete_object", **place, IfMatch=version)

    # `move` writes the target only from the version, so the version is not compared again.
    def is_moved(self, path: str, target: str, version: str) -> bool:  # noqa: ARG002
        """Whether the object is at the target and nothing is at the path."""
        return self.exists(target) and not self.exists(path)

    def put_back(self, path: str, target: str) -> None:
        """Write the object again unless one is at the path, and remove the target."""
        if self.exists(target) and not self.exists(path):
            content = self.read(target)
            place = {"Bucket": self._bucket, "Key": self._key(path)}
            if self._unless_changed(
                path, None, "put_object", **place, Body=content, IfNoneMatch="*"
            ):
                self.remove(target)

    def make_durable(self, paths: Iterable[str]) -> None:
        """Nothing, because S3 answers a write when it is durable."""

    def _unless_changed(
        self, path: str, version: str | None, operation: str, **request: object
    ) -> bool:
        """Send a conditional request for a path; returns whether its condition held.

        For a missing object, S3 answers a role that may list only some prefixes that the request is
        denied. So every refusal means a change if the version at the path is another one.
        """
        from botocore.exceptions import ClientError

        with self._write_errors():
            try:
                getattr(self._client, operation)(**request)
            except ClientError as error:
                if error.response["Error"]["Code"] not in CONFLICTS and (
                    self.version(path) == version
                ):
                    raise
                return False
        return True

    def _key(self, path: str) -> str:
        return f"{self._lake.prefix}{path}"

    def _full(self, path: str) -> str:
        return f"{self._lake.root}/{path}"

    def _read_errors(self) -> AbstractContextManager[None]:
        return aws_errors(f"the lake {self._lake.root}", "read", denied=READ_REMEDY)

    def _write_errors(self) -> AbstractContextManager[None]:
        return aws_errors(f"the lake {self._lake.root}", "written to", denied=WRITE_REMEDY)
