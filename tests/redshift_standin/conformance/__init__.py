"""The documented results of statements on Redshift, read from `statements.yml`.

The tests run the statements on the stand-in. This command runs them on the Redshift of the
environment variables:

    python -m tests.redshift_standin.conformance

An entry of `statements.yml` has these fields:
- `name`: a unique name in lower case. `{name}` in a text of the entry is replaced by it.
- `files`: the files that are written below the lake first. Each has a `key` and either `parquet`
  (the values by column; a value may be `{repeat: [text, times]}`) or `text`.
- `setup`: the statements that run before `sql` and must succeed. A statement that is written as
  `{sql:, error: {}}` must fail.
- `sql`: the statement. It runs in the session of `setup`.
- `as`: the user who runs `sql`, in a session of its own.
- `rows`: all rows that the statement returns, in order and with exact types. Decimals, dates and
  times are written as text. An entry has either `rows` or `error`.
- `error`: the statement fails. `sqlstate` and `message` are given if the documentation or other
  public sources state them. `message` is a part of the message, in any letter case.
- `needs`: `spectrum`, `users` or `masking`, which not every connection offers. `masking` needs
  `users` too.
- `source`: the title of the page of the documentation that states the result.
- `stand_in_lacks`: the reason why the stand-in cannot give the result. The entry runs on a real
  cluster, and must fail on the stand-in.

The texts of an entry can contain these names: `{schema}` is the scratch schema; `{external}` is an
external schema whose files are below `{lake}`; `{reader}`, `{stranger}` and `{member}` are users;
`{member}` belongs to the group `{group}`; `{role}` is a role; `{mask}` and
`{plain}` are masking policies; `{eighty}` is a name of 80 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

STATEMENTS = Path(__file__).with_name("statements.yml")
FIELDS = (
    "name",
    "files",
    "setup",
    "sql",
    "as",
    "rows",
    "error",
    "needs",
    "source",
    "stand_in_lacks",
)
NEEDS = ("", "spectrum", "users", "masking")

Rows = list[list[object]]


@dataclass(frozen=True)
class Error:
    """An error of Redshift, or its documented part. An empty text means that it is undocumented."""

    sqlstate: str = ""
    message: str = ""

    def fits(self, actual: Error) -> bool:
        return self.sqlstate in ("", actual.sqlstate) and (
            self.message.lower() in actual.message.lower()
        )

    def __str__(self) -> str:
        return " ".join(part for part in ("error", self.sqlstate, self.message) if part)


@dataclass(frozen=True)
class Step:
    """A statement of `setup`, and the error with which it must fail, if it must fail."""

    sql: str
    error: Error | None = None


@dataclass(frozen=True)
class File:
    """A file below the lake: the columns of a Parquet file, or a text."""

    key: str
    parquet: Mapping[str, list[object]] | None = None
    text: str = ""


@dataclass(frozen=True)
class Entry:
    """A statement, and its documented result."""

    name: str
    sql: str
    source: str
    rows: Rows | None = None
    error: Error | None = None
    setup: tuple[Step, ...] = ()
    files: tuple[File, ...] = ()
    as_user: str = ""
    needs: str = ""
    stand_in_lacks: str = ""

    def difference(self, outcome: Rows | Error) -> str:
        """Return how the outcome differs from the documented one, or an empty text."""
        if isinstance(outcome, Error):
            same = self.error is not None and self.error.fits(outcome)
        else:
            same = self.rows is not None and _typed(self.rows) == _typed(outcome)
        if same:
            return ""
        return f"expected {self.error or self.rows}, got {outcome}"


def entries(path: Path = STATEMENTS) -> list[Entry]:
    """Return all entries of a file in its order; raises ValueError for an invalid entry."""
    found = [_entry(fields) for fields in yaml.safe_load(path.read_text(encoding="utf-8"))]
    names = [entry.name for entry in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"more than one entry has the name {', '.join(twice)}")
    return found


def _typed(rows: Rows) -> list[list[tuple[type, object]]]:
    # The types are compared too, because 1, 1.0 and True are equal in Python.
    return [[(type(value), value) for value in row] for row in rows]


def _entry(fields: dict[str, object]) -> Entry:
    name = str(fields.get("name", fields))
    if problems := _problems(fields):
        raise ValueError(f"{name}: {problems}")
    try:
        return Entry(
            name=name,
            sql=str(fields["sql"]),
            source=str(fields["source"]),
            rows=_rows(fields["rows"]) if "rows" in fields else None,
            error=_error(fields["error"]) if "error" in fields else None,
            setup=tuple(_step(step) for step in _list(fields.get("setup", []))),
            files=tuple(_file(file) for file in _list(fields.get("files", []))),
            as_user=str(fields.get("as", "")),
            needs=str(fields.get("needs", "")),
            stand_in_lacks=str(fields.get("stand_in_lacks", "")),
        )
    except ValueError as reason:
        raise ValueError(f"{name}: {reason}") from reason


def _problems(fields: dict[str, object]) -> str:
    """Return what is wrong with the fields of an entry, or an empty text."""
    needs = fields.get("needs", "")
    missing = [name for name in ("name", "sql", "source") if not fields.get(name)]
    found = [f"`{name}` is not a field of an entry" for name in fields if name not in FIELDS]
    found += [f"`{name}` is missing" for name in missing]
    if ("rows" in fields) == ("error" in fields):
        found.append("give either `rows` or `error`")
    if needs not in NEEDS:
        found.append(f"`needs` is spectrum, users or masking, not {needs}")
    if "as" in fields and needs not in ("users", "masking"):
        found.append("an entry with `as` has `needs: users` or `needs: masking`")
    if "files" in fields and needs != "spectrum":
        found.append("an entry with `files` has `needs: spectrum`")
    return "; ".join(found)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"this must be a list: {value!r}")
    return value


def _mapping(value: object, *keys: str) -> dict[str, object]:
    if not isinstance(value, dict) or not set(value) <= set(keys):
        raise ValueError(f"this must be a mapping of {', '.join(keys)}: {value!r}")
    return value


def _rows(value: object) -> Rows:
    rows = [_list(row) for row in _list(value)]
    for row in rows:
        for cell in row:
            # YAML reads an unquoted date as a date, but a session returns dates as texts.
            if cell is not None and not isinstance(cell, (str, int, float)):
                raise ValueError(f"this must be written as text: {cell!r}")
    return rows


def _error(value: object) -> Error:
    given = _mapping(value, "sqlstate", "message")
    for part in given.values():
        if not isinstance(part, str):
            raise ValueError(f"this must be written as text: {part!r}")
    return Error(str(given.get("sqlstate", "")), str(given.get("message", "")))


def _step(value: object) -> Step:
    if isinstance(value, str):
        return Step(value)
    given = _mapping(value, "sql", "error")
    if set(given) != {"sql", "error"}:
        raise ValueError(f"a step is a statement, or has `sql` and `error`: {value!r}")
    return Step(str(given["sql"]), _error(given["error"]))


def _file(value: object) -> File:
    given = _mapping(value, "key", "parquet", "text")
    if "key" not in given or ("parquet" in given) == ("text" in given):
        raise ValueError(f"a file has a `key`, and either `parquet` or `text`: {value!r}")
    key = str(given["key"])
    if "text" in given:
        return File(key, text=str(given["text"]))
    columns = given["parquet"]
    if not isinstance(columns, dict):
        raise ValueError(f"`parquet` must be a mapping of columns: {columns!r}")
    return File(
        key,
        {str(name): [_value(cell) for cell in _list(cells)] for name, cells in columns.items()},
    )


def _value(cell: object) -> object:
    if not isinstance(cell, dict):
        return cell
    text, times = _list(_mapping(cell, "repeat").get("repeat"))
    return str(text) * int(str(times))
