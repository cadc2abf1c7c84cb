"""`python -m include.build.run_dbt`: one `dbt build`, and news of each node as it ends.

Runs in dbt's environment. The first line of the standard input is a request, see `Request`; its end
is the end of whoever asked, and stops dbt. Lines of the standard output that begin with `NEWS_LINE`
hold a `News` as JSON, all others are dbt's own log. Exit codes: 0, dbt came to its end, whatever it
found; 1, dbt could not run; 130, it was stopped.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dbt.adapters.factory import get_adapter_by_type
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt_common.events.base_types import EventMsg

from include.build import failing_rows
from include.command import command
from include.manifest import Manifest, dbt_arguments
from include.orchestration.watcher import CROSS_MODEL_TESTS, NEWS_LINE
from include.remedies import remedy
from include.settings import Settings, UserError
from include.warehouse import build_lock

LINES = 200
"""How many of dbt's log lines of a node are passed on: the last ones."""
SQL_LENGTH = 100_000
"""How many characters of a failed node's SQL are passed on."""
STOP_SECONDS = 20
"""How long dbt may take to cancel what it runs."""
SEVERITY = ("success", "warn", "skipped", "fail", "error")
STATUSES = {
    "pass": "success",
    "no-op": "success",
    "runtime error": "error",
    "partial success": "error",
}
"""dbt's words for what the others are called, too."""


@dataclass(frozen=True)
class Request:
    """What to build.

    `select` holds dbt selectors, None selects all. `tests` names the tests that span nodes: they
    run in the end, if all went well. `artifacts` is the folder for dbt's artifacts, `run_id` whose
    build this is, `catalog` whether dbt's `catalog.json` is wanted after a good one.
    """

    artifacts: str
    run_id: str = ""
    select: list[str] | None = None
    tests: list[str] = field(default_factory=list)
    full_refresh: bool = False
    catalog: bool = False


@dataclass(frozen=True)
class News:
    """How a node ended, its tests included.

    `status` is `success`, `warn` (a test warned), `fail` (a test failed; the node itself is
    built), `error` or `skipped` (dbt has not run it, for a parent's sake). `seconds` is the time in
    dbt, `rows` what the warehouse says it wrote, or None. `lines` are dbt's log lines. `results`
    are those of the node and of its tests that are no success: `unique_id`, `status`, `message`,
    and of failures `sql` and `rows`.
    """

    unique_id: str
    status: str
    seconds: float
    rows: int | None
    lines: list[str]
    results: list[dict[str, Any]]


@dataclass
class Entry:
    """What dbt has said so far of a node and its tests."""

    waiting: set[str]
    lines: list[str] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    skipped: bool = False
    told: bool = False


class Newsroom:
    """Sorts dbt's events by node, and tells of a node once it and its tests have ended."""

    def __init__(
        self, manifest: Manifest, artifacts: Path, adapter: str, publish: Callable[[News], None]
    ) -> None:
        """`publish` gets the news of each node, on the reporter's thread."""
        self.manifest = manifest
        self.artifacts = artifacts
        self.adapter = adapter
        self.publish = publish
        self.events: queue.SimpleQueue[dict[str, Any] | threading.Event] = queue.SimpleQueue()
        self.owner: dict[str, str] = {node: node for node in manifest.built}
        for node in manifest.built:
            self.owner.update(dict.fromkeys(manifest.tests_of(node), node))
        self.entries: dict[str, Entry] = {}
        self.told_bad = False
        self.reporter = threading.Thread(target=self.report, daemon=True)
        self.reporter.start()

    def follow(self, tests: Iterable[str], owner: str) -> None:
        """Report these tests together, under one name."""
        self.owner.update(dict.fromkeys(tests, owner))
        self.entries[owner] = Entry(set(tests))

    def hear(self, message: EventMsg) -> None:
        """dbt's callback, on the thread that has something to say; it only takes a note."""
        node = getattr(message.data, "node_info", None)
        if node is None or not node.unique_id:
            return
        event: dict[str, Any] = {"unique_id": node.unique_id, "path": node.node_path}
        # dbt ends a node that it skips for an ephemeral parent's sake as an error.
        event["skipped"] = message.info.name in {"SkippingDetails", "LogSkipBecauseError"}
        if message.info.name == "NodeFinished":
            result = message.data.run_result
            event["result"] = {
                "status": STATUSES.get(result.status, result.status),
                "message": result.message,
                "seconds": result.execution_time,
                "rows": _rows(result.adapter_response),
            }
        elif message.info.level in {"info", "warn", "error"}:
            # A protobuf message: its stubs know no timestamp, and not all of its fields.
            stamp = message.info.ts.ToDatetime().strftime("%H:%M:%S")  # type: ignore[attr-defined]
            event["line"] = f"{stamp}  {message.info.msg}"  # type: ignore[attr-defined]
        elif not event["skipped"]:
            return
        self.events.put(event)

    def report(self) -> None:
        """Publish the news for ever; the reporter's thread."""
        while True:
            event = self.events.get()
            if isinstance(event, threading.Event):
                event.set()
                continue
            owner = self.owner.get(event["unique_id"])
            if owner is None:
                continue
            entry = self.entries.setdefault(owner, Entry({owner, *self.manifest.tests_of(owner)}))
            entry.skipped |= event["skipped"] and owner == event["unique_id"]
            if "line" in event:
                entry.lines.append(event["line"])
                continue
            entry.results.append(
                {"unique_id": event["unique_id"], **event["result"], "path": event["path"]}
            )
            entry.waiting.discard(event["unique_id"])
            # dbt skips the tests of a node that it has not built.
            if owner == event["unique_id"] and event["result"]["status"] != "success":
                entry.waiting.clear()
            if not entry.waiting and not entry.told:
                entry.told = True
                self._tell(owner, entry)

    def catch_up(self) -> None:
        """Wait until all that was heard so far has been told."""
        told = threading.Event()
        self.events.put(told)
        # It may have ended: nobody reads what we print.
        while self.reporter.is_alive() and not told.wait(0.1):
            pass

    def close(self, ended: dbtRunnerResult) -> None:
        """Wait for the news of a command that has ended; raises if it did not come to its end.

        Without it a node whose news were lost, or a hook that failed, would pass in silence.
        """
        self.catch_up()
        if isinstance(ended.exception, KeyboardInterrupt):
            raise ended.exception
        if ended.exception is not None:
            # In one line: the last one is what the task's error says.
            said = " ".join(str(ended.exception).split())
            known = remedy(said) or "its log stands above"
            raise BuildError(f"dbt ended before its end ({said}): {known}.")
        if not self.reporter.is_alive() or not (ended.success or self.told_bad):
            raise BuildError("dbt failed, and not in a node; its log stands above.")

    def _tell(self, owner: str, entry: Entry) -> None:
        status = max((result["status"] for result in entry.results), key=SEVERITY.index)
        if entry.skipped and status == "error":
            status = "skipped"
        self.told_bad |= status in {"fail", "error", "skipped"}
        news = News(
            unique_id=owner,
            status=status,
            seconds=round(sum(result["seconds"] for result in entry.results), 3),
            rows=next((r["rows"] for r in entry.results if r["unique_id"] == owner), None),
            lines=entry.lines[-LINES:],
            results=[self._told(r) for r in entry.results if r["status"] != "success"],
        )
        self.publish(news)

    def _told(self, result: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: result[name] for name in ("unique_id", "status", "message")}
        # Of a warning its line is enough: a green node costs no query, and little of a database.
        if result["status"] in {"fail", "error"}:
            told["sql"] = self._sql(result)[:SQL_LENGTH]
        if result["status"] == "fail":
            node = self.manifest.nodes[result["unique_id"]]
            told["rows"] = self._rows(told["sql"], node)
        return told

    def _rows(self, sql: str, node: Mapping[str, Any]) -> list[dict[str, str | None]]:
        try:
            # dbt's factory has no annotations.
            adapter = get_adapter_by_type(self.adapter)  # type: ignore[no-untyped-call]
            return failing_rows.fetch(adapter, sql, node)
        except Exception as error:  # noqa: BLE001
            # News of a failure must come, with the rows or without them.
            print(f"The rows of {node['name']} cannot be shown: {error}", flush=True)
            return []

    def _sql(self, result: Mapping[str, Any]) -> str:
        """The compiled SQL, where dbt leaves it; empty if it came to none."""
        node = self.manifest.nodes[result["unique_id"]]
        file = Path(node["original_file_path"])
        # A generic test lies below the file that declares it.
        name = file if file.name == Path(result["path"]).name else file / result["path"]
        path = self.artifacts / "compiled" / node["package_name"] / name
        return path.read_text() if path.is_file() else ""


def _rows(response: Mapping[str, Any]) -> int | None:
    """What the warehouse says it wrote; DuckDB's adapter does not say."""
    rows = dict(response).get("rows_affected")
    return int(rows) if rows is not None and int(rows) >= 0 else None


def print_news(news: News) -> None:
    """A line of the standard output; in one piece, for dbt logs there on other threads."""
    sys.stdout.write(f"{NEWS_LINE}{json.dumps(asdict(news))}\n")
    sys.stdout.flush()


class BuildError(UserError):
    """dbt could not come to its end."""


def build(
    request: Request, settings: Settings, publish: Callable[[News], None] = print_news
) -> None:
    """Run dbt and publish the news, whatever they are.

    Raises BuildError, KeyboardInterrupt if dbt was stopped, LockedError or LockLostError if this
    run may not build.
    """
    with build_lock.renewed(settings, request.run_id, interrupt):
        run_dbt(request, settings, publish)


def interrupt(reason: str) -> None:
    """End dbt, from any thread."""
    print(f"Stopping dbt: {reason}", flush=True)
    os.kill(os.getpid(), signal.SIGINT)


def run_dbt(request: Request, settings: Settings, publish: Callable[[News], None]) -> None:
    """The same for who has the lock already."""
    manifest = Manifest.read()
    newsroom = Newsroom(manifest, Path(request.artifacts), settings.adapter, publish)
    common = dbt_arguments(settings, Path(request.artifacts))
    # Parsed once for both commands.
    parsed = dbtRunner().invoke(["--quiet", "parse", "--no-write-json", *common])
    if not parsed.success:
        raise BuildError(f"dbt cannot parse the project: {parsed.exception}")
    dbt = dbtRunner(manifest=parsed.result, callbacks=[newsroom.hear])  # type: ignore[arg-type]
    selected = [] if request.select is None else ["--select", *request.select]
    excluded = ["--exclude", *map(manifest.name, manifest.tests_across())]
    flags = ["--full-refresh"] if request.full_refresh else []
    built = dbt.invoke(
        [
            *("build", "--exclude-resource-type", "unit_test"),
            # Tests with another parent run in the end.
            *("--indirect-selection", "cautious"),
            *(*selected, *(excluded if len(excluded) > 1 else []), *flags, *common),
        ]
    )
    newsroom.close(built)
    if built.success and request.tests:
        tests = [test for test in manifest.tests_across() if manifest.name(test) in request.tests]
        newsroom.follow(tests, CROSS_MODEL_TESTS)
        with all_results(Path(request.artifacts)):
            newsroom.close(dbt.invoke(["test", "--select", *request.tests, *common]))
    if built.success and request.catalog:
        described = dbt.invoke(["--quiet", "docs", "generate", "--no-compile", *common])
        if isinstance(described.exception, KeyboardInterrupt):
            raise described.exception
        if not described.success:
            # For whoever reads: the build is good without it.
            print(f"The catalog could not be made: {described.exception or 'see the log'}")


@contextmanager
def all_results(artifacts: Path) -> Iterator[None]:
    """Keep in `run_results.json` what was there before a second command of the same build."""
    file = artifacts / "run_results.json"
    before = json.loads(file.read_bytes())["results"] if file.is_file() else []
    yield
    if before and file.is_file():
        content = json.loads(file.read_bytes())
        file.write_text(json.dumps({**content, "results": [*before, *content["results"]]}))


def stop_with_parent() -> None:
    """End dbt when nobody listens any more: two builds must never write at once."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(STOP_SECONDS)
    os._exit(130)


@command
def main() -> int:
    """Build what the request on the standard input asks for."""
    request = Request(**json.loads(sys.stdin.readline()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=stop_with_parent, daemon=True).start()
    try:
        build(request, Settings.from_env(os.environ))
    except KeyboardInterrupt:
        print("error: stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
