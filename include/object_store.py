"""Where runs publish what they leave behind: the folder, or the prefix in S3, of setting DOCS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from include.settings import UserError

WRITE_REMEDY = (
    "let this role list, read and write it, as those of include/aws/build.yaml and mwaa.yaml may"
)


class Documents(Protocol):
    """Files by their names below a root; whatever goes wrong is a UserError."""

    @property
    def root(self) -> str:
        """The folder's path, or the URI, without a slash at its end."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file; it is there whole, or not at all."""

    def read(self, name: str) -> bytes | None:
        """A whole file; None if it is not there."""

    def names(self, prefix: str) -> list[str]:
        """The sorted names of the files below a prefix."""


def open_documents(root: str) -> Documents:
    """A folder or an S3 prefix by its path or URI; nothing is asked of it yet."""
    return DocumentsInS3(root) if root.startswith("s3://") else DocumentsInFolder(Path(root))


class DocumentsInFolder:
    """Files in a folder of this machine, which is made when the first is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = str(path)

    def write(self, name: str, content: bytes) -> None:
        """Write a file under a hidden name, then rename it."""
        path = self.path / name
        hidden = path.with_name(f".{path.name}")
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            hidden.write_bytes(content)
            hidden.replace(path)

    def read(self, name: str) -> bytes | None:
        """A whole file."""
        with self._explained():
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    def names(self, prefix: str) -> list[str]:
        """The files below a folder."""
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in (self.path / prefix).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = (
                f"{self.root} cannot be used ({error}): mend its rights, or GAME_ANALYTICS_DOCS."
            )
            raise UserError(message) from None


class DocumentsInS3:
    """Files below an S3 prefix, with the credentials that botocore finds."""

    def __init__(self, root: str) -> None:
        import boto3
        from botocore.config import Config

        self.root = root
        self.bucket, _, prefix = root.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        config = Config(
            connect_timeout=10,
            read_timeout=20,
            max_pool_connections=16,
            retries={"mode": "standard", "max_attempts": 5},
        )
        self.client: Any = boto3.client("s3", config=config)

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        with self._explained():
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content)

    def read(self, name: str) -> bytes | None:
        """A whole object."""
        with self._explained():
            try:
                found = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
            except self.client.exceptions.NoSuchKey:
                return None
            content: bytes = found["Body"].read()
            return content

    def names(self, prefix: str) -> list[str]:
        """The keys below a prefix; S3 lists them sorted."""
        asked = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        with self._explained():
            return [
                entry["Key"].removeprefix(self.prefix)
                for page in self.client.get_paginator("list_objects_v2").paginate(**asked)
                for entry in page.get("Contents", [])
            ]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            message = f"{self.root} cannot be used ({error}): {WRITE_REMEDY}."
            raise UserError(message) from None
