"""Clients of AWS, one explanation of AWS's errors, and the files of setting DOCS.

boto3 is imported where it is used, because the DAG files import this module and boto3 loads slowly.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from include.settings import UserError

CONNECTIONS = 16
"""Open connections per client, and so the number of requests that can run at a time."""
DOCUMENTS_READ_SECONDS = 20
"""Read timeout for the files of DOCS: they are small, and a retry is faster than a long wait."""
DELETED_AT_ONCE = 1000
"""How many objects S3 deletes in one request."""
WRITE_REMEDY = (
    "let this role list, read and write it, as the roles of include/aws/build.yaml and mwaa.yaml "
    "may, and let GAME_ANALYTICS_DOCS_OWNER be empty or the account of the bucket"
)

ERROR_KINDS = {
    "expired": (
        r"Expired|InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId|SignatureDoesNotMatch",
        "the credentials have expired or are wrong: renew them and run again",
    ),
    "denied": (
        r"AccessDenied|UnauthorizedOperation|NotAuthorized|^403$",
        "give this role the right to do that, and run again",
    ),
    "missing": (
        r"NotFound|NoSuch|DoesNotExist|NotExist|^404$",
        "create it or name another, and run again",
    ),
    "throttled": (
        r"Throttl|SlowDown|TooManyRequests|RequestLimitExceeded",
        "AWS refuses this rate of requests: wait a minute and run again",
    ),
    "unconfigured": (
        r"Credential|Profile|Token|SSO|Login|Region",
        "give this process a role, or set AWS_PROFILE, or credentials and AWS_REGION",
    ),
    "unreachable": (
        r"Connect|Timeout|HTTPClient|SSL|Streaming|IncompleteRead",
        "give this machine a network route to AWS, and check AWS_REGION",
    ),
}
"""The kinds of errors: a pattern of AWS's code or of botocore's class, and the general remedy."""
OTHER_REMEDY = "repair what AWS names, and run again"
NOT_SENT = {"unconfigured", "unreachable"}
"""The kinds of errors without an answer from AWS."""
ABOUT_THE_THING = {"denied", "missing", "other"}
"""The kinds of errors for which the caller's remedy is better than the general one."""


class AwsError(UserError):
    """A request that AWS refused, or that could not be sent to AWS.

    `kind` is a key of `ERROR_KINDS` or `other`. `code` is AWS's error code, such as `AccessDenied`,
    or the name of botocore's exception.
    """

    def __init__(self, message: str, kind: str, code: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


@contextlib.contextmanager
def aws_errors(
    thing: str, action: str = "used", remedy: str = "", **remedies: str
) -> Iterator[None]:
    """Raise AwsError instead of boto3's errors: "<thing> cannot be <action> (…): <remedy>."

    `remedies` are the caller's remedies by AWS's code or by kind. `remedy` is the caller's remedy
    for all other errors that are about the thing itself: a refused, missing or unknown one. The
    general remedies of `ERROR_KINDS` serve the rest.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError):
            code = str(error.response["Error"]["Code"])
            kind = _kind(code, ERROR_KINDS.keys() - NOT_SENT)
        else:
            code = type(error).__name__
            kind = _kind(code, NOT_SENT)
        advice = remedies.get(code) or remedies.get(kind)
        if not advice and kind in ABOUT_THE_THING:
            advice = remedy
        if not advice:
            advice = ERROR_KINDS[kind][1] if kind in ERROR_KINDS else OTHER_REMEDY
        verb = "reached" if kind in NOT_SENT else action
        reason = " ".join(str(error).split()).rstrip(".")
        message = f"{thing} cannot be {verb} ({reason}): {advice}."
        raise AwsError(message, kind, code) from None


def _kind(code: str, kinds: Collection[str]) -> str:
    """The first of the kinds whose pattern is found in a code, or `other`."""
    for kind, (pattern, _) in ERROR_KINDS.items():
        if kind in kinds and re.search(pattern, code):
            return kind
    return "other"


def aws_client(service: str, **options: Any) -> Any:
    """A client of an AWS service; `options` replaces options of botocore's `Config`.

    Credentials and region are those that botocore finds: a role, a profile or the environment.
    Raises AwsError if it finds a profile or region that cannot be used.
    """
    import boto3
    from botocore.config import Config

    # botocore would write to each task's log where it found credentials.
    logging.getLogger("botocore.credentials").setLevel(logging.WARNING)
    config = {
        "connect_timeout": 10,
        "max_pool_connections": CONNECTIONS,
        "retries": {"mode": "standard", "max_attempts": 5},
    }
    with aws_errors(f"service {service} of AWS"):
        return boto3.client(service, config=Config(**(config | options)))


def s3_client(owner: str = "", **options: Any) -> Any:
    """A client of S3 whose requests name the account that must own the bucket, if it is given.

    S3 refuses such a request for a bucket of another account, as it would be after a typing error,
    or after somebody else made a bucket with the name of a deleted one.
    """
    client = aws_client("s3", **options)
    if owner:

        def name_owner(params: dict[str, Any], model: Any, **_: Any) -> None:
            """Add the account to a request, before botocore checks the request."""
            for member in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
                if member in model.input_shape.members:
                    params[member] = owner

        client.meta.events.register("before-parameter-build.s3", name_owner)
    return client


def own_account() -> str:
    """The id of the account whose credentials this process has."""
    with aws_errors("the account of these credentials", "read"):
        account: str = aws_client("sts").get_caller_identity()["Account"]
    return account


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """The bucket of `s3://bucket/prefix`, and the prefix: empty, or with a slash at its end."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""


class Documents(Protocol):
    """Files, named by their path below a root; each method raises UserError if it fails."""

    @property
    def root(self) -> str:
        """The folder's path or the URI, without a slash at its end."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file. A reader sees the whole file or none."""

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None if there is no such file."""

    def names(self, prefix: str) -> list[str]:
        """The sorted names of the files below a prefix."""

    def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below a prefix that ends with a slash."""

    def changed_at(self, prefix: str) -> datetime | None:
        """The latest change of a file below a prefix, in UTC; None if there is no file."""

    def delete(self, prefix: str) -> None:
        """Delete all files below a prefix that ends with a slash."""


def open_documents(root: str, owner: str = "") -> Documents:
    """The files of a folder or an S3 prefix, by its path or URI. This sends no request.

    `owner` is the account that must own the bucket, empty for any.
    """
    if root.startswith("s3://"):
        return DocumentsInS3(root, owner)
    return DocumentsInFolder(Path(root))


class DocumentsInFolder:
    """Files in a folder of this machine, which is made when the first file is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = str(path)

    def write(self, name: str, content: bytes) -> None:
        """Write a file under a hidden name of its own, then rename it."""
        path = self.path / name
        hidden = path.with_name(f".{secrets.token_hex(8)}")
        with self._folder_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                hidden.write_bytes(content)
                hidden.replace(path)
            except OSError:
                # A full disk must not keep a part of a file as well.
                hidden.unlink(missing_ok=True)
                raise

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None if there is no such file."""
        with self._folder_errors():
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    def names(self, prefix: str) -> list[str]:
        """The sorted names of the files below a folder, without hidden ones."""
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in (self.path / prefix).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )

    def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below a prefix that ends with a slash."""
        with self._folder_errors():
            try:
                return sorted(
                    path.name
                    for path in (self.path / prefix).iterdir()
                    if path.is_dir() and not path.is_symlink()
                )
            except FileNotFoundError:
                return []

    def changed_at(self, prefix: str) -> datetime | None:
        """The latest change of a file below a prefix, in UTC; None if there is no file."""
        with self._folder_errors():
            times = [
                path.stat().st_mtime for path in (self.path / prefix).rglob("*") if path.is_file()
            ]
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def delete(self, prefix: str) -> None:
        """Delete a folder; its name must end with a slash."""
        with self._folder_errors(), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path / prefix)

    @contextlib.contextmanager
    def _folder_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = (
                f"{self.root} cannot be used ({error}): give this user access to it, "
                "or set GAME_ANALYTICS_DOCS to another folder."
            )
            raise UserError(message) from None


class DocumentsInS3:
    """Files below an S3 prefix."""

    def __init__(self, root: str, owner: str = "") -> None:
        self.root = root
        self.bucket, self.prefix = bucket_and_prefix(root)
        self.client = s3_client(owner, read_timeout=DOCUMENTS_READ_SECONDS)

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        with aws_errors(self.root, remedy=WRITE_REMEDY):
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content)

    def read(self, name: str) -> bytes | None:
        """The content of an object, or None if there is no such object."""
        with aws_errors(self.root, remedy=WRITE_REMEDY):
            try:
                found = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
            except self.client.exceptions.NoSuchKey:
                return None
            content: bytes = found["Body"].read()
            return content

    def names(self, prefix: str) -> list[str]:
        """The names of the objects below a prefix; S3 lists them sorted."""
        return [entry["Key"].removeprefix(self.prefix) for entry in self._entries(prefix)]

    def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below a prefix that ends with a slash."""
        place = {"Bucket": self.bucket, "Prefix": self.prefix + prefix, "Delimiter": "/"}
        with aws_errors(self.root, remedy=WRITE_REMEDY):
            return [
                entry["Prefix"].removeprefix(place["Prefix"]).rstrip("/")
                for page in self.client.get_paginator("list_objects_v2").paginate(**place)
                for entry in page.get("CommonPrefixes", [])
            ]

    def changed_at(self, prefix: str) -> datetime | None:
        """The latest change of an object below a prefix, in UTC; None if there is no object."""
        return max((entry["LastModified"] for entry in self._entries(prefix)), default=None)

    def delete(self, prefix: str) -> None:
        """Delete all objects below a prefix that ends with a slash."""
        keys = [entry["Key"] for entry in self._entries(prefix)]
        for first in range(0, len(keys), DELETED_AT_ONCE):
            some = [{"Key": key} for key in keys[first : first + DELETED_AT_ONCE]]
            with aws_errors(self.root, remedy=WRITE_REMEDY):
                answer = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": some, "Quiet": True}
                )
            # S3 answers with success although it refused to delete some of the objects.
            for error in answer.get("Errors", []):
                reason = f"{error['Key']}: {error['Code']} {error.get('Message', '')}".strip()
                raise UserError(
                    f"{self.root} cannot be cleaned ({reason}): "
                    "let this role delete below runs/ of it."
                )

    def _entries(self, prefix: str) -> list[dict[str, Any]]:
        """What S3 lists about the objects below a prefix."""
        place = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        with aws_errors(self.root, remedy=WRITE_REMEDY):
            return [
                entry
                for page in self.client.get_paginator("list_objects_v2").paginate(**place)
                for entry in page.get("Contents", [])
            ]
