"""The stand-in does what Redshift's documentation says, statement by statement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.redshift_standin.conformance import Entry, Error, entries
from tests.redshift_standin.conformance.scratch import Lake, Scratch, arguments, connector, scratch

if TYPE_CHECKING:
    from tests.redshift_standin import Cluster
    from tests.support.ministack import MiniStack

BUCKET = "conformance"


def parameters() -> Iterator[Any]:
    for entry in entries():
        # A stand-in that has learnt it is told so: the mark must go.
        marks = (
            [pytest.mark.xfail(reason=entry.stand_in_lacks, strict=True)]
            if entry.stand_in_lacks
            else []
        )
        yield pytest.param(entry, id=entry.name, marks=marks)


@pytest.fixture(scope="session")
def place(cluster: Cluster, emulator: MiniStack) -> Iterator[Scratch]:
    client = emulator.client("s3")
    client.create_bucket(Bucket=BUCKET)
    connect = connector(arguments(cluster.environment()))
    with scratch(connect, Lake(f"s3://{BUCKET}/lake", "default", client)) as made:
        assert not made.lacks
        yield made


@pytest.mark.parametrize("entry", parameters())
def test_a_statement(place: Scratch, entry: Entry) -> None:
    assert not place.run(entry)


def test_names_make_names_of_tables() -> None:
    for entry in entries():
        assert re.fullmatch(r"[a-z][a-z0-9_]{1,62}", entry.name), entry.name


def test_there_are_enough_of_every_kind() -> None:
    found = entries()
    kinds = Counter("error" if entry.error is not None else "rows" for entry in found)
    needs = Counter(entry.needs for entry in found)
    assert kinds["error"] > 60
    assert kinds["rows"] > 100
    assert needs["spectrum"] > 20
    assert needs["users"] > 5
    assert any(entry.as_user for entry in found)


def test_files_and_tables_bear_the_names_of_their_entries() -> None:
    """All entries share a schema and a lake."""
    for entry in entries():
        for file in entry.files:
            assert file.key.startswith("{name}/"), entry.name
        for step in entry.setup:
            for made in re.findall(r"create (?:table|view) \{schema\}\.(\S+)", step.sql):
                assert made.startswith(("{name}", "{eighty}")), entry.name


def entry_of(**fields: Any) -> Entry:
    return Entry("one", "select 1", "A page", **fields)


@pytest.mark.parametrize("other", [1.0, True, "1", None])
def test_types_are_exact(other: object) -> None:
    entry = entry_of(rows=[[1]])
    assert entry.difference([[1]]) == ""
    assert entry.difference([[other]]) == f"expected [[1]], got [[{other!r}]]"


def test_a_refusal_is_no_row_and_a_row_no_refusal() -> None:
    refused = Error("42601", 'Syntax error at or near "on"')
    assert entry_of(rows=[]).difference(refused) == f"expected [], got {refused}"
    assert entry_of(error=Error()).difference([]) == "expected error, got []"
    assert entry_of(error=Error()).difference(refused) == ""
    assert entry_of(error=Error("42601", "SYNTAX error")).difference(refused) == ""
    assert entry_of(error=Error("42601", "other")).difference(refused)
    assert entry_of(error=Error("0A000")).difference(refused)


GOOD = {"name": "one", "sql": "select 1", "rows": [[1]], "source": "A page"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expected": 1}, "no field then: expected"),
        ({"error": {}}, "either rows or error"),
        ({"rows": None, "error": {"code": "1"}}, "not a mapping"),
        ({"source": None}, "source is missing"),
        ({"sql": None}, "sql is missing"),
        ({"as": "{reader}"}, "`as` needs users"),
        ({"needs": "luck"}, "nothing offers luck"),
        ({"files": [{"key": "a", "text": "b"}]}, "files need spectrum"),
        ({"needs": "spectrum", "files": [{"key": "a"}]}, "a file has a key"),
        ({"setup": [{"sql": "select 1"}]}, "a step is a statement"),
        ({"setup": "select 1"}, "not a list"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    fields = {key: value for key, value in (GOOD | change).items() if value is not None}
    path = tmp_path / "statements.yml"
    path.write_text(yaml.safe_dump([fields]), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(reason)):
        entries(path)


def test_neither_rows_nor_error_and_one_name_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "statements.yml"
    path.write_text(yaml.safe_dump([GOOD, GOOD]), encoding="utf-8")
    with pytest.raises(ValueError, match="two entries of one name: one"):
        entries(path)
    path.write_text(yaml.safe_dump([{**GOOD, "rows": 1}]), encoding="utf-8")
    with pytest.raises(ValueError, match="not a list"):
        entries(path)
    path.write_text("- {name: one, sql: select 1, source: A page}", encoding="utf-8")
    with pytest.raises(ValueError, match="either rows or error"):
        entries(path)
    path.write_text(
        "- {name: one, sql: select 1, source: A page, rows: [[2026-01-01]]}", encoding="utf-8"
    )
    with pytest.raises(ValueError, match="to be written as text"):
        entries(path)


def test_the_connection_is_that_of_the_profile() -> None:
    environ = {
        "REDSHIFT_HOST": "h",
        "REDSHIFT_USERNAME": "u",
        "REDSHIFT_PASSWORD": "p",
        "REDSHIFT_DBNAME": "d",
    }
    given = {"host": "h", "user": "u", "password": "p", "database": "d", "port": 5439}
    assert arguments(environ) == given | {"ssl": True, "sslmode": "verify-ca"}
    assert arguments(environ | {"REDSHIFT_SSLMODE": "disable"}) == given | {"ssl": False}
    assert arguments(
        environ | {"REDSHIFT_METHOD": "iam", "REDSHIFT_CLUSTER_ID": "c", "REDSHIFT_PASSWORD": ""}
    ) == {
        "iam": True, "host": "h", "db_user": "u", "cluster_identifier": "c", "database": "d",
        "port": 5439, "ssl": True, "sslmode": "verify-ca",
    }  # fmt: skip
    with pytest.raises(KeyError, match="REDSHIFT_DBNAME"):
        arguments({})
