"""What a container tells of its run: events as they come, then dbt's artifacts and the result."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from include.build.container import EVENTS, RESULT
from include.build.run_dbt import News
from include.manifest import MANIFEST
from include.object_store import Documents
from include.orchestration.watcher import CROSS_MODEL_TESTS
from include.settings import UserError

UPLOADS = 16
"""Files at a time."""
EVENT_SECONDS = 0.5
"""How often events that came are written."""
FAILURES = 20
"""How many failed nodes a result names: Step Functions reads it, and takes 256 kB."""
MESSAGE_LENGTH = 1000
"""Characters of each one's message, and of the line that says how all went."""
ARTIFACTS = (
    "manifest.json",
    "run_results.json",
    "sources.json",
    "catalog.json",
    "dbt.log",
    "compiled/**/*.sql",
)
"""What is kept of dbt's target folder."""


@dataclass(frozen=True)
class Result:
    """How a run ended: `success`, `failed` (nodes), `error` (dbt or what it needs), `stopped`.

    `failed` holds `node`, `status` and `message` of nodes; `message` is one line for a person.
    """

    run_id: str
    status: str
    message: str
    exit_code: int
    failed: list[dict[str, str]] = field(default_factory=list)


class Report:
    """The report of one run, below a root; `news` is a callback for dbt's thread.

    An upload that fails is printed, and told by `problem`: dbt goes on without it.
    """

    def __init__(self, documents: Documents, target: Path) -> None:
        """`target` is dbt's folder, the files of which are uploaded in the end."""
        self.documents = documents
        self.target = target
        self.news: list[News] = []
        self.problem = ""
        self.result: Result | None = None
        self._waiting: list[str] = []
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._parts = 0
        self._ended = threading.Event()
        self._uploader = threading.Thread(target=self._upload_events, daemon=True)
        self._uploader.start()

    def tell(self, news: News) -> None:
        """Take the news of a node."""
        self.news.append(news)
        rows = "" if news.rows is None else f", {news.rows} rows"
        print(f"{news.unique_id} {news.status}, {news.seconds:.2f} s{rows}", flush=True)
        with self._lock:
            self._waiting.append(json.dumps(asdict(news)))

    def close(self, result: Result) -> None:
        """Upload all that is left, `result.json` last; a second call waits for the first."""
        with self._closing:
            if self.result is None:
                self.result = result
                self._close(result)

    def _close(self, result: Result) -> None:
        self._ended.set()
        self._uploader.join()
        files = {
            path.relative_to(self.target).as_posix(): path
            for pattern in ARTIFACTS
            for path in self.target.glob(pattern)
        }
        # dbt writes none when it was given the project as parsed.
        if MANIFEST.is_file():
            files.setdefault("manifest.json", MANIFEST)
        try:
            with ThreadPoolExecutor(UPLOADS) as pool:
                list(pool.map(lambda name: self._write(name, files[name].read_bytes()), files))
        finally:
            line = " ".join(result.message.split())[:MESSAGE_LENGTH]
            content = {**asdict(result), "message": line}
            self._write(RESULT, json.dumps(content, indent=2).encode())
        print(f"{result.status}: {result.message}\nartifacts: {self.documents.root}", flush=True)

    def failed(self) -> list[dict[str, str]]:
        """The nodes that went wrong, for a result."""
        found = []
        for news in self.news:
            if news.status in {"fail", "error"}:
                said = [result["message"] or "" for result in news.results]
                message = "; ".join(filter(None, said))[:MESSAGE_LENGTH]
                node = news.unique_id.split(".")[-1]
                found.append({"node": node, "status": news.status, "message": message})
        return found[:FAILURES]

    def summary(self) -> str:
        """A line of how many nodes did how."""
        count = sum(news.unique_id != CROSS_MODEL_TESTS for news in self.news)
        names = [entry["node"] for entry in self.failed()]
        return (
            f"{', '.join(names)} went wrong, of {count} nodes" if names else f"{count} nodes built"
        )

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
            self._write(f"{EVENTS}{self._parts:06}.jsonl", content)

    def _write(self, name: str, content: bytes) -> None:
        try:
            self.documents.write(name, content)
        except UserError as error:
            if not self.problem:
                print(f"error: {error}", flush=True)
            self.problem = str(error)
