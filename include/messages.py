"""The messages that the package's processes exchange, and the names by which each finds them.

| message | written by | read by | where it is |
|---|---|---|---|
| `FreshnessRequest` | producer | dbt process | a line of its standard input |
| `StaleSources` | dbt process | producer | a line of its output |
| `BuildRequest` | producer | dbt process, container | standard input, or `request.json` |
| `NodeResult` | dbt process, container | producer | a line of its output, or below `events/` |
| `NodeResult` | producer | trigger and task of the node | XCom `dbt` of the node's task |
| `Progress` | producer | triggers, the task `done` | XCom `nodes` of the producer |
| `Progress`, `StartedContainer` | producer | later tries of the producer | its task state |
| `NodeEvent` | trigger of a node | task of the node | the event that ends the trigger |
| `PublishRequest` | task `publish`, container | `include.site` | standard input |
| `Published` | `include.site` | all later tasks | result of the task `publish` |
| `RunResult` | container | producer, node task, state machine | `result.json` |
| `FailingRowsRequest` | node task | `failing_rows` | standard input |
| `FailingRows` | `failing_rows` | node task | standard output |
| `SelectedNodes` | `preflight` | all later tasks | result of the task `preflight` |
| `StaleSources` | `freshness`, producer | all later tasks | result of the task `freshness` |

This module imports neither Airflow nor dbt, and both environments have msgspec. The trigger cannot
import it: `plugins/game_analytics_triggers.py` has its own copy of what it needs, and
`tests/unit/plugins/test_triggers.py` compares the two.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

RESULT_LINE = "node-result "
"""The start of each line of the dbt process that is a `NodeResult`. Other lines are dbt's log."""
FRESHNESS_LINE = "freshness "
"""The start of the line with a `FreshnessRequest`, and of the line with the answer to it."""
CROSS_MODEL_TESTS = "cross_model_tests"
"""The task of all cross-model tests, and the `unique_id` of their common `NodeResult`."""
NOT_BUILT = "not built: "
"""The start of the status of a node that this run does not build; the reason follows."""
RUN_ALONE = "run alone"
"""The status of the task `freshness` if it must start a dbt process of its own."""

XCOM_PROGRESS = "nodes"
"""The producer's XCom with its `Progress`, and the key of the latest one in its task state."""
XCOM_NODE_RESULT = "dbt"
"""The XCom of a node's task with its `NodeResult`."""
STATE_CONTAINER = "started"
"""The key of the `StartedContainer` in the producer's task state."""

REQUEST_FILE = "request.json"
"""The `BuildRequest` of a container, in the folder of its report."""
RESULT_FILE = "result.json"
"""The `RunResult` of a container. It is written last: when it exists, the report is complete."""
EVENTS_FOLDER = "events/"
"""The folder of files `<number>.jsonl`. Each line is a `NodeResult`; a node that ended first comes
first."""

REPORT_VARIABLE = "CONTAINER_ARTIFACTS"
"""The environment variable with the folder or S3 prefix where a `dbt …` container reports."""
FINGERPRINT_VARIABLE = "PROJECT_FINGERPRINT"
"""The environment variable with the fingerprint of the dbt project that the DAG was made from. The
image must hold the same project."""
DAG_ID_VARIABLE = "AIRFLOW_CTX_DAG_ID"
"""Airflow's environment variable with the id of the DAG."""
RUN_ID_VARIABLE = "AIRFLOW_CTX_DAG_RUN_ID"
"""Airflow's environment variable with the id of the run."""

EXIT_STOPPED = 130
"""The exit code of a dbt process that was interrupted (128 + SIGINT)."""
EXIT_TRY_LATER = 75
"""The exit code of a container whose build may succeed when it is tried again later (`EX_TEMPFAIL`
of sysexits.h)."""
EXIT_LOGIN_REFUSED = 77
"""The exit code of a container whose login was refused (`EX_NOPERM`). It may succeed at once if the
password was rotated a moment ago, so it is tried again only for a short time."""

Status = Literal["success", "warn", "skipped", "fail", "error"]
"""How a node or test ended.

`warn`: a test found rows and only warns. `fail`: a test found rows; the node itself is built.
`error`: it could not be run. `skipped`: dbt did not run it because of a parent.
"""
GOOD: frozenset[str] = frozenset({"success", "warn"})
"""The statuses of a node that is built and whose tests passed or only warned."""
FAILED: frozenset[str] = frozenset({"fail", "error"})
"""The statuses of a node or test that somebody must look at."""

Row = dict[str, str | None]
"""A row that a failed test found: the value as text by column; personal data is masked."""


@dataclass(frozen=True)
class FreshnessRequest:
    """Asks the dbt process which sources are stale, in the run with this id."""

    run_id: str


@dataclass(frozen=True)
class BuildRequest:
    """What a dbt process must build.

    `artifacts` is the folder for dbt's artifacts; a container uses a folder of its own. `report` is
    the folder or S3 prefix of the report, where everybody finds the artifacts; empty if there is
    none. The report of a container lies beside its request. `run_id` names the run that holds the
    build lock. `select` holds dbt selectors, None selects all nodes.
    `tests` holds the ids of the cross-model tests that run after the nodes, if all of these
    succeeded. With `catalog` dbt then writes its `catalog.json`, for the pages of the run.
    """

    artifacts: str
    run_id: str = ""
    select: tuple[str, ...] | None = None
    tests: tuple[str, ...] = ()
    full_refresh: bool = False
    report: str = ""
    catalog: bool = False


@dataclass(frozen=True)
class Problem:
    """A result of a node or test that is not a success.

    `message` is dbt's. `sql` is the compiled SQL of what failed, empty for a warning or if dbt
    compiled none. `rows` are some of the rows that a failed test found.
    """

    unique_id: str
    status: Status
    message: str | None
    sql: str = ""
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class NodeResult:
    """How a node and its tests ended.

    `status` is the worst status among them. `seconds` is the time that dbt spent on all of them.
    `rows` is the number of rows that the warehouse reports as written, or None. `lines` are the
    last lines of dbt's log about them. `problems` lists each of them that is not a success.
    """

    unique_id: str
    status: Status
    seconds: float
    rows: int | None
    lines: tuple[str, ...]
    problems: tuple[Problem, ...]


class NodeProgress(NamedTuple):
    """The status of a node and when the producer received it, in epoch seconds.

    `status` is a `Status`, or `NOT_BUILT` and the reason. A named tuple is a list in JSON, which
    keeps `Progress` small: each poll of the triggerer reads all of it.
    """

    status: str
    at: float


@dataclass(frozen=True)
class Progress:
    """What a try of the producer has published so far.

    `clears` is how often tasks of the run had been cleared when this try began. `done` is true
    when its dbt has ended, so that a node's own task may build. `nodes` has the node tasks by id.
    """

    try_number: int
    clears: int
    done: bool
    nodes: dict[str, NodeProgress]


@dataclass(frozen=True)
class StartedContainer:
    """The container that the producer started last.

    `clears` is how often tasks of the run had been cleared by then.
    """

    task_arn: str
    clears: int


@dataclass(frozen=True)
class NodeEvent:
    """Why a node's trigger ended and a worker runs its task.

    `status` is the node's status, or `NOT_BUILT` and the reason; None if the task must build the
    node itself. `producer_failed` is true if the producer failed while the task waited for it.
    """

    status: str | None
    producer_failed: bool = False


@dataclass(frozen=True)
class FailedNode:
    """A node with status `fail` or `error`; `message` joins the messages of its problems."""

    node: str
    status: Status
    message: str


@dataclass(frozen=True)
class RunResult:
    """How a container ended; `include/aws/state_machine.asl.json` reads it too.

    `status` is `success`, `failed` (nodes or tests failed), `error` (dbt, or something that it
    needs, did not work) or `stopped` (by a signal). `message` is one line for a person. `failed`
    lists the first failed nodes.
    """

    run_id: str
    status: Literal["success", "failed", "error", "stopped"]
    message: str
    exit_code: int
    failed: tuple[FailedNode, ...] = ()


@dataclass(frozen=True)
class PublishRequest:
    """What the process that starts a publication knows about the run.

    `started_at` is the start of the run as ISO 8601 text with its offset. `states` are the states
    of the run's Airflow tasks by task id, without those that come after the publication. `stale`
    has the ids of the stale sources. `status` is the status of a container's `RunResult`, and
    `message` is its message. All are empty if they are not known.
    """

    started_at: str = ""
    states: dict[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    status: str = ""
    message: str = ""


@dataclass(frozen=True)
class Published:
    """What the task `publish` has published.

    `folder` is the folder of the publication below DOCS, `pages` are the files of the pages in it.
    `notes` are sentences about what is missing.
    """

    run_id: str
    outcome: str
    folder: str
    pages: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FailedTest:
    """A failed test and its compiled SQL."""

    unique_id: str
    sql: str


@dataclass(frozen=True)
class FailingRowsRequest:
    """The failed tests whose rows a node's task will show."""

    tests: tuple[FailedTest, ...]


@dataclass(frozen=True)
class FailingRows:
    """The rows that failed tests found, by the test's unique id.

    A test whose rows could not be fetched is left out.
    """

    rows: dict[str, tuple[Row, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SelectedNodes:
    """The result of the task `preflight`: the ids of the selected nodes, None if all are."""

    selected: tuple[str, ...] | None


@dataclass(frozen=True)
class StaleSources:
    """The result of the task `freshness`: the ids of the stale sources.

    As the answer of the dbt process it can have an `error`, and the ids are not known then.
    """

    stale: tuple[str, ...]
    error: str = ""


Message = TypeVar("Message")


def file_name(text: str) -> str:
    """Return a run's or a task's id as the name of a file or folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).strip(".") or "_"


def to_json(message: object, indent: int | None = None) -> str:
    """Return a message as JSON text in ASCII, in one line unless `indent` is given.

    ASCII passes a pipe in every locale, and no character of a message ends the line.
    """
    return json.dumps(msgspec.to_builtins(message), indent=indent)


def from_json(text: str | bytes, kind: type[Message]) -> Message:
    """Read a message of this kind from JSON text; raises ValueError if it is not one."""
    return from_plain(json.loads(text), kind)


def to_plain(message: object) -> Any:
    """Return a message as the dicts, lists and scalars of JSON, as XComs and task state hold it."""
    return json.loads(to_json(message))


def from_plain(value: Any, kind: type[Message]) -> Message:
    """Read a message of this kind from what `to_plain` returned; raises ValueError if it is none.

    Unknown fields are ignored; a field without a default must be there.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from None
