"""Writes the report of a dbt process: node results as they come, then artifacts and the result."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from include.artifacts import artifacts_in, write_files
from include.engine_text import without_values
from include.manifest import MANIFEST, described
from include.messages import (
    CROSS_MODEL_TESTS,
    EVENTS_FOLDER,
    FAILED,
    RESULT_FILE,
    FailedNode,
    NodeResult,
    RunResult,
    to_json,
)
from include.object_store import Documents
from include.settings import UserError

EVENT_SECONDS = 0.5
"""The interval at which new node results are uploaded."""
FAILURES = 20
"""The number of failed nodes in a `RunResult`: Step Functions reads it, and accepts 256 kB."""
MESSAGE_LENGTH = 1000
"""The number of characters of each failed node's message, and of the message of the result."""


class Report:
    """The report of one dbt process, in a folder or S3 prefix.

    dbt goes on when an upload fails: a warning is printed, and `upload_error` keeps the error.
    """

    def __init__(self, documents: Documents, target: Path) -> None:
        """`target` is dbt's target folder, the files of which are uploaded at the end."""
        self.documents = documents
        self.target = target
        self.results: list[NodeResult] = []
        self.upload_error = ""
        self.result: RunResult | None = None
        self._waiting: list[str] = []
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._uploading = threading.Lock()
        self._is_uploaded = False
        self._parts = 0
        self._ended = threading.Event()
        self._uploader = threading.Thread(target=self._upload_events, daemon=True)
        self._uploader.start()

    def print_and_add(self, result: NodeResult) -> None:
        """Print a node's result and queue it for upload; called on the collector's thread."""
        rows = "" if result.rows is None else f", {result.rows} rows"
        print(f"{result.unique_id} {result.status}, {result.seconds:.2f} s{rows}", flush=True)
        self.add(result)

    def add(self, result: NodeResult) -> None:
        """Queue a node's result for upload; called on the collector's thread."""
        self.results.append(result)
        with self._lock:
            self._waiting.append(to_json(result))

    def upload_artifacts(self) -> None:
        """Upload the last node results and dbt's artifacts; a second call does nothing."""
        with self._uploading:
            if self._is_uploaded:
                return
            self._is_uploaded = True
            self._ended.set()
            self._uploader.join()
            files = artifacts_in(self.target)
            # dbt writes no manifest when it gets the project in parsed form.
            if MANIFEST.is_file():
                files.setdefault("manifest.json", MANIFEST)
            if error := write_files(self.documents, files):
                self._note(error)

    def close(self, result: RunResult) -> None:
        """Upload all that is left, `result.json` last; a second call waits for the first."""
        with self._closing:
            if self.result is None:
                self.result = result
                self._close(result)

    def _close(self, result: RunResult) -> None:
        try:
            self.upload_artifacts()
        finally:
            line = " ".join(result.message.split())[:MESSAGE_LENGTH]
            content = to_json(replace(result, message=line), indent=2)
            self._write(RESULT_FILE, content.encode())
        print(f"{result.status}: {result.message}\nartifacts: {self.documents.root}", flush=True)

    def failed(self) -> tuple[FailedNode, ...]:
        """Return the first failed nodes, for a `RunResult`.

        The state machine sends their messages in an alert, so no value of the data is in them.
        """
        found = []
        for result in self.results:
            if result.status in FAILED:
                message = "; ".join(
                    without_values(problem.message, shown=f"{problem.unique_id} {problem.sql}")
                    for problem in result.problems
                    if problem.message
                )[:MESSAGE_LENGTH]
                is_node = result.unique_id != CROSS_MODEL_TESTS
                node = described(result.unique_id)[1] if is_node else CROSS_MODEL_TESTS
                found.append(FailedNode(node, result.status, message))
        return tuple(found[:FAILURES])

    def errors(self) -> tuple[str, ...]:
        """Return the messages of each failed node as dbt wrote them; empty for a failed test."""
        return tuple(
            "; ".join(problem.message for problem in result.problems if problem.message)
            if result.status == "error"
            else ""
            for result in self.results
            if result.status in FAILED
        )

    def summary(self) -> str:
        """Return one line with the number of nodes and the names of those that failed."""
        count = sum(result.unique_id != CROSS_MODEL_TESTS for result in self.results)
        names = [node.node for node in self.failed()]
        if names:
            return f"of {count} nodes these failed: {', '.join(names)}"
        return f"{count} nodes built"

    def _upload_events(self) -> None:
        while not self._ended.wait(EVENT_SECONDS):
            self._upload_waiting()
        self._upload_waiting()

    def _upload_waiting(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        if lines:
            self._parts += 1
            content = "".join(f"{line}\n" for line in lines).encode()
            self._write(f"{EVENTS_FOLDER}{self._parts:06}.jsonl", content)

    def _write(self, name: str, content: bytes) -> None:
        try:
            self.documents.write(name, content)
        except UserError as error:
            self._note(str(error))

    def _note(self, error: str) -> None:
        if not self.upload_error:
            print(f"warning: the report is incomplete: {error}", flush=True)
        self.upload_error = error
