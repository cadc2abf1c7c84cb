"""Compacts copies of a small lake in S3, and disturbs each copy at another request.

`python -m tests.support.compaction_requests SCENARIO FOLDER BUCKET` uploads the lake in `FOLDER` as
`BUCKET/1/`, `BUCKET/2/` and so on, and compacts each copy in a process of its own. Right before the
n-th request of the n-th copy happens what the scenario of `compaction_steps` says. The scenario
`replace` counts all requests, and the others those that change the lake. The program ends when a
compaction has no n-th request, and prints the number of copies.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.compaction_steps import (
    AGAIN,
    NEW,
    REPLACE,
    REPLACED,
    ROOT,
    UNDO,
    die,
    in_child,
)
from tests.support.compactions import export, manifest

CHANGES = {"PutObject", "CopyObject", "DeleteObject"}


def disturbed_in_s3(scenario: str, template: Path, bucket: str) -> list[str]:
    """Run this program; returns the URIs of the copies of the lake in the order of requests."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.compaction_requests", scenario, template, bucket],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = int(done.stdout.split()[-1])
    return [f"s3://{bucket}/{number}" for number in range(1, count + 1)]


def upload(client: Any, template: Path, bucket: str, prefix: str) -> None:
    """Copy the files of a folder to a prefix of a bucket."""
    for path in template.rglob("*.parquet"):
        key = f"{prefix}/{path.relative_to(template)}"
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


class Requests:
    """Counts the requests of all clients of this process, and calls a function before one."""

    def __init__(self, operations: set[str] | None) -> None:
        from botocore.client import BaseClient

        self.count = 0
        self.at: dict[int, Callable[[], None]] = {}
        self.before_merged: Callable[[], None] = lambda: None
        self._operations = operations
        self._is_acting = False
        self._send = BaseClient._make_api_call
        calls = self

        def call(client: Any, operation: str, request: dict[str, Any]) -> Any:
            return calls.call(client, operation, request)

        BaseClient._make_api_call = call

    def call(self, client: Any, operation: str, request: dict[str, Any]) -> Any:
        """Count a request, disturb the compaction if it is time to, and send the request."""
        if not self._is_acting and (not self._operations or operation in self._operations):
            self.count += 1
            self._is_acting = True
            key = request.get("Key", "")
            if operation == "PutObject" and "/merged-" in key and "_compacted" not in key:
                self.before_merged()
                self.before_merged = lambda: None
            self.at.get(self.count, lambda: None)()
            self._is_acting = False
        return self._send(client, operation, request)


def compaction(
    uri: str, prepare: Callable[[Requests], None], operations: set[str] | None = None
) -> tuple[int, bool]:
    """Compact a lake in a forked process; returns its exit code and whether it reached its step."""
    from include.lake.compaction import s3_lock
    from include.lake.compaction.compact import compact_source
    from include.lake.storage.s3 import S3Lake

    reader, writer = os.pipe()

    def work() -> None:
        # The lock of a killed compaction may be taken over at once.
        s3_lock.LEASE_SECONDS = -1.0
        requests = Requests(operations)
        prepare(requests)
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends soon
        compact_source(S3Lake(uri), manifest(), "raw_events", None, None)
        os.write(writer, b"x" if requests.count >= max(requests.at, default=0) else b"")

    code = in_child(work)
    os.close(writer)
    reached = os.read(reader, 1) == b"x" or code != 0
    os.close(reader)
    return code, reached


def disturb(scenario: str, bucket: str, number: int, new: bytes) -> bool:
    """Compact a lake and disturb it at a request; returns whether there was such a request."""
    import boto3

    uri = f"s3://{bucket}/{number}"

    def replace() -> None:
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{number}/{REPLACED}", Body=new)

    def prepare(requests: Requests) -> None:
        requests.at[number] = replace if scenario == REPLACE else die
        if scenario == UNDO:
            requests.before_merged = replace

    code, reached = compaction(uri, prepare, None if scenario == REPLACE else CHANGES)
    if scenario == REPLACE or code == 0:
        assert code == 0, code
        return reached
    assert code == -signal.SIGKILL, code
    if scenario == AGAIN:
        at = random.Random(number).randint(1, 12)  # noqa: S311 - equal tests need equal numbers
        code, _ = compaction(uri, lambda requests: requests.at.update({at: die}), CHANGES)
        assert code in {0, -signal.SIGKILL}, code
    return True


def main(scenario: str, template: Path, bucket: str) -> None:
    """Disturb a copy at each request."""
    import boto3

    prepared = template.with_name("new.parquet")
    export(prepared, NEW)
    number = 0
    is_disturbed = True
    while is_disturbed:
        number += 1
        upload(boto3.client("s3"), template, bucket, str(number))
        is_disturbed = disturb(scenario, bucket, number, prepared.read_bytes())
    print(number)


if __name__ == "__main__":
    import duckdb  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
