"""The messages between processes: each is read as it was written, and no other value is read."""

from __future__ import annotations

import ast
from typing import Any, get_args

import pytest

from include import messages
from include.messages import (
    BuildRequest,
    FailedNode,
    FailedTest,
    FailingRows,
    FailingRowsRequest,
    FreshnessRequest,
    NodeEvent,
    NodeProgress,
    NodeResult,
    Problem,
    Progress,
    Published,
    PublishRequest,
    RunResult,
    SelectedNodes,
    StaleSources,
    StartedContainer,
    file_name,
    from_json,
    from_plain,
    to_json,
    to_plain,
)
from include.settings import ROOT

HOSTILE = "two\nlines, \u2028 ends one, \udc80 is no character, \x00 neither, Zoë 🎲"
ROW = {"id": None, "note": HOSTILE}
MESSAGES = [
    BuildRequest(
        "folder",
        "r",
        ("path:models/a.sql",),
        ("test.p.assert_a",),
        full_refresh=True,
        report="docs",
    ),
    BuildRequest("folder"),
    NodeResult(
        "model.p.a", "fail", 1.5, None, (HOSTILE,), (Problem("t", "fail", HOSTILE, "sql", (ROW,)),)
    ),
    NodeResult("model.p.a", "success", 0.0, 7, (), ()),
    Progress(2, 1, done=True, nodes={"a": NodeProgress("not built: not selected", 1.5)}),
    StartedContainer("arn:1", 0),
    NodeEvent(None, producer_failed=True),
    RunResult("r", "failed", HOSTILE, 75, (FailedNode("a", "error", HOSTILE),)),
    FailingRowsRequest((FailedTest("t", "sql"),)),
    FailingRows({"t": (ROW,)}),
    SelectedNodes(None),
    SelectedNodes(()),
    StaleSources(("source.p.a",)),
    StaleSources((), error=HOSTILE),
    FreshnessRequest("r"),
    PublishRequest(
        "2026-09-01T04:30:00+00:00", {"a": "failed"}, ("source.p.a",), "failed", HOSTILE
    ),
    PublishRequest(),
    Published("r", "failed", "runs/r/site/1", ("report.html",), (HOSTILE,)),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_written(message: Any) -> None:
    kind = type(message)
    text = to_json(message)
    # A pipe in any locale passes it, and it is one line.
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert from_json(text, kind) == from_json(text.encode(), kind) == message
    assert from_plain(to_plain(message), kind) == message


def test_every_message_is_tested() -> None:
    kinds = {type(message).__name__ for message in MESSAGES}
    parts = {"FailedNode", "FailedTest", "NodeProgress", "Problem"}
    tree = ast.parse((ROOT / "include" / "messages.py").read_text())
    assert {node.name for node in tree.body if isinstance(node, ast.ClassDef)} == kinds | parts


@pytest.mark.parametrize("value", [None, [], "text", 7, {}, {"stale": None}, {"stale": [7]}])
def test_another_value_is_no_message(value: Any) -> None:
    with pytest.raises(ValueError, match="not a StaleSources"):
        from_plain(value, StaleSources)


@pytest.mark.parametrize("text", ["", "words", '{"stale": ['])
def test_another_text_is_no_message(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text, StaleSources)


def test_a_plain_message_has_only_types_that_airflow_stores_as_they_are() -> None:
    """Airflow stores a tuple with its type, which makes an XCom larger and harder to read."""

    def types(value: Any) -> set[type]:
        inner = value.values() if isinstance(value, dict) else value
        nested = [types(v) for v in inner] if isinstance(value, dict | list) else []
        return {type(value)}.union(*nested)

    found = set().union(*(types(to_plain(message)) for message in MESSAGES))
    assert found <= {dict, list, str, int, float, bool, type(None)}


def test_a_status_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid enum value 'broken'"):
        from_plain({**to_plain(MESSAGES[3]), "status": "broken"}, NodeResult)
    assert set(get_args(messages.Status)) > messages.GOOD | messages.FAILED


@pytest.mark.parametrize(
    ("run_id", "folder"),
    [
        ("scheduled__2026-09-30T04:30:00+00:00", "scheduled__2026-09-30T04_30_00_00_00"),
        ("../../etc", "_.._etc"),
        ("..", "_"),
    ],
)
def test_a_run_id_is_one_folder(run_id: str, folder: str) -> None:
    assert file_name(run_id) == folder
