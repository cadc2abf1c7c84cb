"""Every statement of `conformance/statements.yml` has its documented result on the stand-in."""

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
        # The mark is strict. If the stand-in gives the documented result after all, the test fails
        # until `stand_in_lacks` is removed from the entry.
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
def test_statement_has_its_documented_result(place: Scratch, entry: Entry) -> None:
    assert not place.run(entry)


def test_name_of_an_entry_is_a_valid_table_name() -> None:
    for entry in entries():
        assert re.fullmatch(r"[a-z][a-z0-9_]{1,62}", entry.name), entry.name


def test_entries_cover_errors_rows_spectrum_and_users() -> None:
    found = entries()
    kinds = Counter("error" if entry.error is not None else "rows" for entry in found)
    needs = Counter(entry.needs for entry in found)
    assert kinds["error"] > 60
    assert kinds["rows"] > 100
    assert needs["spectrum"] > 20
    assert needs["users"] > 5
    assert any(entry.as_user for entry in found)


def test_files_and_tables_are_named_after_their_entry() -> None:
    """Entries share a schema and a lake, so equal names would collide."""
    for entry in entries():
        for file in entry.files:
            assert file.key.startswith("{name}/"), entry.name
        for step in entry.setup:
            for made in re.findall(r"create (?:table|view) \{schema\}\.(\S+)", step.sql):
                assert made.startswith(("{name}", "{eighty}")), entry.name


def entry_of(**fields: Any) -> Entry:
    return Entry("one", "select 1", "A page", **fields)


@pytest.mark.parametrize("other", [1.0, True, "1", None])
def test_a_row_with_another_type_is_a_difference(other: object) -> None:
    entry = entry_of(rows=[[1]])
    assert entry.difference([[1]]) == ""
    assert entry.difference([[other]]) == f"expected [[1]], got [[{other!r}]]"


def test_an_error_is_compared_with_its_documented_part() -> None:
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
        ({"expected": 1}, "`expected` is not a field of an entry"),
        ({"error": {}}, "give either `rows` or `error`"),
        ({"rows": None, "error": {"code": "1"}}, "this must be a mapping of sqlstate, message"),
        ({"source": None}, "`source` is missing"),
        ({"sql": None}, "`sql` is missing"),
        ({"as": "{reader}"}, "an entry with `as` has `needs: users` or `needs: masking`"),
        ({"needs": "luck"}, "`needs` is spectrum, users or masking, not luck"),
        ({"files": [{"key": "a", "text": "b"}]}, "an entry with `files` has `needs: spectrum`"),
        ({"needs": "spectrum", "files": [{"key": "a"}]}, "a file has a `key`, and either"),
        ({"setup": [{"sql": "select 1"}]}, "a step is a statement, or has `sql` and `error`"),
        ({"setup": "select 1"}, "this must be a list"),
    ],
)
def test_an_invalid_field_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    fields = {key: value for key, value in (GOOD | change).items() if value is not None}
    path = tmp_path / "statements.yml"
    path.write_text(yaml.safe_dump([fields]), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(reason)):
        entries(path)


def test_an_invalid_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "statements.yml"
    path.write_text(yaml.safe_dump([GOOD, GOOD]), encoding="utf-8")
    with pytest.raises(ValueError, match="more than one entry has the name one"):
        entries(path)
    path.write_text(yaml.safe_dump([{**GOOD, "rows": 1}]), encoding="utf-8")
    with pytest.raises(ValueError, match="this must be a list"):
        entries(path)
    path.write_text("- {name: one, sql: select 1, source: A page}", encoding="utf-8")
    with pytest.raises(ValueError, match="give either `rows` or `error`"):
        entries(path)
    path.write_text(
        "- {name: one, sql: select 1, source: A page, rows: [[2026-01-01]]}", encoding="utf-8"
    )
    with pytest.raises(ValueError, match="this must be written as text"):
        entries(path)


def test_connection_has_the_arguments_of_the_dbt_profile() -> None:
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
