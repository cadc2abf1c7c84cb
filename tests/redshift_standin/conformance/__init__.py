"""What Redshift does with a statement, as data: `statements.yml`, for stand-in and clusters.

    python -m tests.redshift_standin.conformance

Fields of an entry:
- `name`: of its own, in lower case; `{name}` in its texts.
- `files`: written below the lake before anything else; each has a `key` and `parquet` (values by
  column; a value may be `{repeat: [text, times]}`) or `text`.
- `setup`: statements that must go well before; one as `{sql:, error: {}}` must fail.
- `sql`: the statement, in the same session; or `as` another user, in a session of its own.
- `rows`: all that it returns, in order, with exact types; decimals, dates and times as text. Or
- `error`: that it fails; where the documentation or what is known in public says so, with
  `sqlstate` and `message`, a part of the message in any case of letters.
- `needs`: `spectrum` or `users`, which not every connection can offer.
- `source`: the page of the documentation that says so, by its title.
- `stand_in_lacks`: why the stand-in cannot do it. The entry runs on real clusters, and must fail
  on the stand-in.

`{schema}` is the scratch schema, `{external}` an external one over `{lake}`; `{reader}` and
`{stranger}` are users, `{member}` is one of group `{group}`, `{role}` is a role; `{eighty}` is a
name of 80 bytes.
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
NEEDS = ("", "spectrum", "users")

Rows = list[list[object]]


@dataclass(frozen=True)
class Error:
    """A refusal: what was raised, or the part of it that is documented ("" says nothing)."""

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
    """A statement before the one in question, and the refusal that it must meet, if any."""

    sql: str
    error: Error | None = None


@dataclass(frozen=True)
class File:
    """A file of the lake: columns of a Parquet file, or a text."""

    key: str
    parquet: Mapping[str, list[object]] | None = None
    text: str = ""


@dataclass(frozen=True)
class Entry:
    """A statement, and what Redshift's documentation says of it."""

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
        """Empty if this is the documented outcome."""
        if isinstance(outcome, Error):
            same = self.error is not None and self.error.fits(outcome)
        else:
            same = self.rows is not None and _typed(self.rows) == _typed(outcome)
        if same:
            return ""
        return f"expected {self.error or self.rows}, got {outcome}"


def entries(path: Path = STATEMENTS) -> list[Entry]:
    """All entries of a file, in its order; raises ValueError for one that makes no sense."""
    found = [_entry(fields) for fields in yaml.safe_load(path.read_text(encoding="utf-8"))]
    names = [entry.name for entry in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two entries of one name: {', '.join(twice)}")
    return found


def _typed(rows: Rows) -> list[list[tuple[type, object]]]:
    # Python takes 1, 1.0 and True for equal.
    return [[(type(value), value) for value in row] for row in rows]


def _entry(fields: dict[str, object]) -> Entry:
    name = str(fields.get("name", fields))

    if nonsense := _nonsense(fields):
        raise ValueError(f"{name}: {nonsense}")
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


def _nonsense(fields: dict[str, object]) -> str:
    """Why the fields make no entry, or nothing."""
    needs = fields.get("needs", "")
    missing = [name for name in ("name", "sql", "source") if not fields.get(name)]
    found = [f"no field then: {name}" for name in fields if name not in FIELDS]
    found += [f"{name} is missing" for name in missing]
    if ("rows" in fields) == ("error" in fields):
        found.append("either rows or error")
    if needs not in NEEDS:
        found.append(f"nothing offers {needs}")
    if "as" in fields and needs != "users":
        found.append("`as` needs users")
    if "files" in fields and needs != "spectrum":
        found.append("files need spectrum")
    return "; ".join(found)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"not a list: {value!r}")
    return value


def _mapping(value: object, *keys: str) -> dict[str, object]:
    if not isinstance(value, dict) or not set(value) <= set(keys):
        raise ValueError(f"not a mapping of {', '.join(keys)}: {value!r}")
    return value


def _rows(value: object) -> Rows:
    rows = [_list(row) for row in _list(value)]
    for row in rows:
        for cell in row:
            # YAML reads an unquoted date as one, and none comes out of a session like that.
            if cell is not None and not isinstance(cell, (str, int, float)):
                raise ValueError(f"to be written as text: {cell!r}")
    return rows


def _error(value: object) -> Error:
    given = _mapping(value, "sqlstate", "message")
    for part in given.values():
        if not isinstance(part, str):
            raise ValueError(f"to be written as text: {part!r}")
    return Error(str(given.get("sqlstate", "")), str(given.get("message", "")))


def _step(value: object) -> Step:
    if isinstance(value, str):
        return Step(value)
    given = _mapping(value, "sql", "error")
    if set(given) != {"sql", "error"}:
        raise ValueError(f"a step is a statement, or one with its error: {value!r}")
    return Step(str(given["sql"]), _error(given["error"]))


def _file(value: object) -> File:
    given = _mapping(value, "key", "parquet", "text")
    if "key" not in given or ("parquet" in given) == ("text" in given):
        raise ValueError(f"a file has a key, and parquet or text: {value!r}")
    key = str(given["key"])
    if "text" in given:
        return File(key, text=str(given["text"]))
    columns = given["parquet"]
    if not isinstance(columns, dict):
        raise ValueError(f"not columns: {columns!r}")
    return File(
        key,
        {str(name): [_value(cell) for cell in _list(cells)] for name, cells in columns.items()},
    )


def _value(cell: object) -> object:
    if not isinstance(cell, dict):
        return cell
    text, times = _list(_mapping(cell, "repeat").get("repeat"))
    return str(text) * int(str(times))
