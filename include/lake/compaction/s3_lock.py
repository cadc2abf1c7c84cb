"""The lock of a compaction in S3: an object that is written only if it does not exist.

The object names its owner and is written again every minute. If it is older than its lease, the
owner was killed, and another compaction takes it over by a write that S3 refuses if the object
changed meanwhile. An owner that was only suspended must then write nothing any more. Therefore it
stops signing requests long before its lease ends, and S3 refuses a request that arrives more than
15 minutes after it was signed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from include.object_store import aws_client
from include.settings import UserError

RENEW_SECONDS = 60.0
USE_SECONDS = 4 * 60.0
"""An owner that could not renew its lock for this time sends no more requests."""
LEASE_SECONDS = 20 * 60.0
"""A lock that was not renewed for this time may be taken over: `USE_SECONDS` and 16 minutes."""

CONFLICTS = {
    "PreconditionFailed",
    "412",
    "ConditionalRequestConflict",
    "409",
    "NoSuchKey",
    "404",
}
"""S3's codes for a conditional request whose condition did not hold."""


@dataclass(frozen=True)
class Held:
    """A lock as it is in S3. `age` and `lease` are in seconds, by the clock of S3."""

    owner: str
    token: str
    etag: str
    age: float
    lease: float

    @property
    def is_expired(self) -> bool:
        """Whether the owner has lost the lock."""
        return self.age > self.lease


def read_lock(client: Any, bucket: str, key: str) -> Held | None:
    """The lock in an object, or None if there is no such object.

    The object is looked for in a listing first, because a role that may list only some prefixes
    gets an error instead of "not found" for a missing object.
    """
    from botocore.exceptions import ClientError

    found = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    if not any(entry["Key"] == key for entry in found):
        return None
    try:
        answer = client.get_object(Bucket=bucket, Key=key)
        body = answer["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in CONFLICTS:
            return None
        raise
    try:
        content = json.loads(body)
    except ValueError:
        # The empty lock of a folder was copied to the bucket.
        content = {}
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return Held(
        owner=content.get("owner", "unknown"),
        token=content.get("token", ""),
        etag=answer["ETag"],
        age=(now - answer["LastModified"]).total_seconds(),
        lease=content.get("lease_seconds", LEASE_SECONDS),
    )


@contextlib.contextmanager
def s3_lock(
    guarded: Any,
    bucket: str,
    key: str,
    thing: str,
    errors: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """Hold a lock, and let the client `guarded` send no request once it is no longer held.

    `thing` is what the lock is about, for messages. Raises UserError if another process holds it.
    """
    lock = _Lock(bucket, key, thing, errors)
    lock.take()
    stop = threading.Event()
    renewing = threading.Thread(target=lock.renew_until, args=(stop,), daemon=True)
    renewing.start()
    guarded.meta.events.register("before-sign.s3", lock.check)
    try:
        yield
    finally:
        guarded.meta.events.unregister("before-sign.s3", lock.check)
        stop.set()
        renewing.join()
        lock.release()


class _Lock:
    """A lock of this process. Its requests have their own client, which the lock does not stop."""

    def __init__(
        self,
        bucket: str,
        key: str,
        thing: str,
        errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._bucket, self._key, self._thing, self._errors = bucket, key, thing, errors
        self._client = aws_client("s3")
        self._owner = f"process {os.getpid()} on {socket.gethostname()}"
        self._token = uuid.uuid4().hex
        self._etag = ""
        # The clock of the wall also runs while the machine is suspended.
        self._renewed_at = 0.0

    def take(self) -> None:
        """Take the lock. Raises UserError if another process holds it."""
        with self._errors():
            if self._write(IfNoneMatch="*"):
                return
            held = read_lock(self._client, self._bucket, self._key)
            if held and held.is_expired and self._write(IfMatch=held.etag):
                return
        if held and not held.is_expired:
            wait = f"wait until it has ended. If it was killed, run again in {_minutes(held)}"
            raise UserError(
                f"another compaction of {self._thing} is running ({held.owner}): {wait}."
            )
        raise UserError(f"another compaction of {self._thing} has just begun or ended: run again.")

    def renew_until(self, stop: threading.Event) -> None:
        """Renew the lock every minute. A failed renewal is tried again, but not for ever."""
        while not stop.wait(RENEW_SECONDS):
            with contextlib.suppress(UserError), self._errors():
                if not self._write(IfMatch=self._etag):
                    return

    def check(self, **_: object) -> None:
        """Raise UserError if the lock was not renewed in time. Runs before a request is signed."""
        if not 0 <= time.time() - self._renewed_at < USE_SECONDS:
            raise UserError(
                f"the compaction of {self._thing} was suspended or lost its connection for more "
                f"than {USE_SECONDS:.0f} seconds, so it has stopped: run it again before the next "
                "build."
            )

    def release(self) -> None:
        """Remove the lock if it is still that of this process."""
        from botocore.exceptions import ClientError

        with self._errors():
            try:
                self._client.delete_object(Bucket=self._bucket, Key=self._key, IfMatch=self._etag)
            except ClientError as error:
                if error.response["Error"]["Code"] not in CONFLICTS:
                    raise

    def _write(self, **condition: str) -> bool:
        """Write the lock under a condition; returns whether it is that of this process now."""
        from botocore.exceptions import ClientError

        began = time.time()
        content = {
            "owner": self._owner,
            "token": self._token,
            "lease_seconds": LEASE_SECONDS,
            # Each renewal has another content, and so another ETag.
            "renewed_at": datetime.now(UTC).isoformat(),
        }
        body = json.dumps(content).encode()
        place = {"Bucket": self._bucket, "Key": self._key}
        try:
            etag = self._client.put_object(**place, Body=body, **condition)["ETag"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in CONFLICTS:
                raise
            # The condition also fails if S3 wrote the object but its answer was lost.
            held = read_lock(self._client, self._bucket, self._key)
            if not held or held.token != self._token:
                return False
            etag = held.etag
        self._etag, self._renewed_at = etag, began
        return True


def _minutes(held: Held) -> str:
    minutes = max(1, round((held.lease - held.age) / 60 + 0.5))
    return f"{minutes} minute{'s' if minutes != 1 else ''}"
