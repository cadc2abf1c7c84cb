"""Follows marks of personal data from the sources along the column lineage, and finds leaks.

`personal_data.yml` describes the marks and declares what ends them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import sqlglot
import yaml
from sqlglot.errors import SqlglotError

from include.settings import UserError
from include.site.lineage.edges import Column, ColumnLineage, Edge, Kind
from include.site.lineage.templates import NULL_TEST, PREDICATE, Forms

DECLARATIONS = Path(__file__).with_suffix(".yml")
BREAKERS_QUERY = "personal_data_breakers"
"""The analysis of the dbt project whose columns are the breakers that are macros."""


LONGEST_STEP = 120
"""Characters of a step in a message."""


class Mark(IntEnum):
    """How personal a column is. The larger mark wins where several meet."""

    NONE = 0
    QUASI_IDENTIFIER = 1
    IDENTIFIER = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Breaker:
    """An expression that ends marks, or makes them smaller: `leaves` has what is left of each."""

    name: str
    functions: Sequence[str]
    leaves: Mapping[Mark, Mark]
    reason: str


@dataclass(frozen=True)
class Policy:
    """What is declared for the columns with a mark, as sentences for the catalog.

    `masking` is empty if the columns need no mask.
    """

    retention: str
    masking: str = ""


@dataclass(frozen=True)
class Leak:
    """A column that receives a larger mark than it declares; `path` leads to it from the source."""

    column: Column
    received: Mark
    declared: Mark
    path: Sequence[Edge]

    def __str__(self) -> str:
        """The column, what it receives, and each step from the source on."""
        lines: list[str] = []
        path = ""
        for edge in reversed(self.path):
            step = f" by {_shortened(edge.expression)}" if edge.expressions else ""
            lines.append(f"  -> {_shown(edge.target, path)}{step}")
            path = _path_before(edge, path)
        if self.path:
            lines.append(f"  {_shown(self.path[0].origin, path)}")
        lines.append(
            f"{_shown(self.column)} receives {self.received} and declares {self.declared}. Declare "
            f"it in the model's YAML (config: {{meta: {{personal_data: {self.received}}}}}), or "
            f"end it by a breaker of {DECLARATIONS.name}:"
        )
        return "\n".join(reversed(lines))


@dataclass(frozen=True)
class PersonalData:
    """The marks of all columns of a project that have one, and what is wrong with them.

    `unmarked` lists the columns of sources, and the JSON paths that models read, without a mark,
    and the columns that models read of nodes and sources that the manifest does not have.
    `unneeded` lists the columns of models that declare a larger mark than they receive. `ended` has
    the edges on which a breaker ends a mark or makes it smaller.
    """

    marks: Mapping[Column, Mark]
    leaks: Sequence[Leak]
    unmarked: Sequence[str]
    unneeded: Sequence[Column]
    ended: frozenset[Edge] = frozenset()


@cache
def breakers() -> Mapping[str, Breaker]:
    """The declared breakers by name."""
    return {
        name: Breaker(
            name,
            breaker.get("functions", ()),
            {_of_text(mark): _of_text(left) for mark, left in breaker.get("leaves", {}).items()},
            breaker["reason"].strip(),
        )
        for name, breaker in _declarations()["breakers"].items()
    }


@cache
def policies() -> Mapping[Mark, Policy]:
    """The declared policies by mark."""
    return {
        _of_text(mark): Policy(**{name: text.strip() for name, text in policy.items()})
        for mark, policy in _declarations()["policies"].items()
    }


def _declarations() -> Any:
    return yaml.safe_load(DECLARATIONS.read_text(encoding="utf-8"))


def forms(manifest: Mapping[str, Any], dialect: str) -> Forms:
    """The breakers as forms for `column_lineage`. Raises UserError if one has no form.

    The forms of macros come from the compiled analysis `personal_data_breakers`.
    """
    functions = {
        function: breaker.name for breaker in breakers().values() for function in breaker.functions
    }
    macros = set(breakers()) - set(functions.values()) - {PREDICATE, NULL_TEST}
    compiled = [
        node.get("compiled_code") or ""
        for node in manifest["nodes"].values()
        if node["resource_type"] == "analysis" and node["name"] == BREAKERS_QUERY
    ]
    try:
        templates = {}
        if compiled and compiled[0]:
            query = sqlglot.parse_one(compiled[0], dialect=dialect)
            templates = {item.alias: item.unalias().sql(dialect) for item in query.expressions}
        found = Forms(functions, templates, dialect)
    except SqlglotError as error:
        raise UserError(
            f"sqlglot cannot parse the compiled analysis {BREAKERS_QUERY}: {error}. Correct the "
            "analysis or the macros that it calls."
        ) from error
    if macros != set(templates):
        different = ", ".join(sorted(macros ^ set(templates)))
        raise UserError(
            f"The compiled analysis {BREAKERS_QUERY} and {DECLARATIONS.name} differ in "
            f"{different}: run `dbt compile`, and declare each breaker in both."
        )
    return found


def personal_data(manifest: Mapping[str, Any], lineage: ColumnLineage) -> PersonalData:
    """Follow the marks. `lineage` must have been found with the forms of `forms`."""
    marks = _Marks(manifest, lineage)
    received: dict[Column, Mark] = {}
    leaks = []
    unneeded = []
    for unique_id, names in lineage.columns.items():
        if not marks.has(unique_id):
            continue
        for name in names:
            column = Column(unique_id, name)
            received[column], path = marks.of(column)
            declared = marks.declared(column)
            if unique_id not in manifest["nodes"]:
                continue
            if received[column] > declared:
                leaks.append(Leak(column, received[column], declared, path))
            elif received[column] < declared:
                unneeded.append(column)
    return PersonalData(
        marks={column: mark for column, mark in received.items() if mark},
        leaks=leaks,
        unmarked=sorted({*_unmarked_columns(manifest), *marks.unmarked}),
        unneeded=unneeded,
        ended=frozenset(marks.ended),
    )


class _Marks:
    def __init__(self, manifest: Mapping[str, Any], lineage: ColumnLineage) -> None:
        self._lineage = lineage
        self._nodes = manifest["nodes"]
        # Data comes into the project by sources and seeds.
        self._roots = {
            **manifest.get("sources", {}),
            **{name: node for name, node in self._nodes.items() if name.startswith("seed.")},
        }
        self._known: dict[tuple[Column, str], tuple[Mark, tuple[Edge, ...]]] = {}
        self.unmarked: set[str] = set()
        self.ended: set[Edge] = set()

    def has(self, unique_id: str) -> bool:
        """Whether the manifest has the node or source; a kept result can name another one."""
        return unique_id in self._roots or unique_id in self._nodes

    def declared(self, column: Column) -> Mark:
        """The mark in the YAML of a node or source; none without one."""
        entry = self._roots.get(column.unique_id) or self._nodes[column.unique_id]
        return _declared(_meta(entry, column.name).get("personal_data"))

    def of(self, column: Column, path: str = "") -> tuple[Mark, tuple[Edge, ...]]:
        """The largest mark that this path of a column receives, with the edges that bring it."""
        if column.unique_id in self._roots:
            return self._of_root(column, path), ()
        if not self.has(column.unique_id):
            self.unmarked.add(_shown(column, path))
        key = (column, path)
        if key not in self._known:
            arrived = self._arriving(column, path)
            self._known[key] = max(arrived, key=lambda one: one[0], default=(Mark.NONE, ()))
        return self._known[key]

    def _arriving(self, column: Column, path: str) -> Iterator[tuple[Mark, tuple[Edge, ...]]]:
        for edge in self._lineage.into.get(column, ()):
            if edge.kind not in {Kind.VALUE, Kind.CONDITION}:
                continue
            arrived, before = self.of(edge.origin, _path_before(edge, path))
            mark = arrived
            # A condition shows as much of a value as a comparison does.
            is_value = edge.kind is Kind.VALUE
            for name in edge.through if is_value else (*edge.through, PREDICATE):
                # A kept result can name a form that is no breaker any more.
                if name in breakers():
                    mark = breakers()[name].leaves.get(mark, Mark.NONE)
            if mark < arrived:
                self.ended.add(edge)
            if mark:
                yield mark, (*before, edge)

    def _of_root(self, column: Column, path: str) -> Mark:
        meta = _meta(self._roots[column.unique_id], column.name)
        whole = _declared(meta.get("personal_data"))
        keys: Mapping[str, str] = meta.get("json_paths") or {}
        if not path or path.startswith("["):
            return whole
        for name, mark in keys.items():
            if path == name or path.startswith((f"{name}.", f"{name}[")):
                return _declared(mark)
        self.unmarked.add(_shown(column, path))
        return whole


def _unmarked_columns(manifest: Mapping[str, Any]) -> Iterator[str]:
    for unique_id, source in manifest.get("sources", {}).items():
        for name, column in source["columns"].items():
            meta = column.get("config", {}).get("meta") or {}
            marks = [meta.get("personal_data"), *(meta.get("json_paths") or {}).values()]
            if not all(map(_is_mark, marks)):
                yield _shown(Column(unique_id, name))


def _meta(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for declared, column in entry.get("columns", {}).items():
        if declared.lower() == name:
            meta: Mapping[str, Any] = column.get("config", {}).get("meta") or {}
            return meta
    return {}


def _of_text(text: str) -> Mark:
    return Mark[text.upper()]


def _declared(text: object) -> Mark:
    """The mark of a declaration; none if it is missing or no mark, which `unmarked` lists."""
    return _of_text(str(text)) if _is_mark(text) else Mark.NONE


def _is_mark(text: object) -> bool:
    return text in {str(mark) for mark in Mark}


def _path_before(edge: Edge, path: str) -> str:
    """The path that is read of the origin of an edge if `path` is read of its target.

    A condition reads its own path, whatever is read of the value.
    """
    if edge.kind is not Kind.VALUE or not path:
        return edge.path
    return f"{edge.path}{path}" if not edge.path or path[0] == "[" else f"{edge.path}.{path}"


def _shown(column: Column, path: str = "") -> str:
    name = ".".join(column.unique_id.split(".")[2:])
    return f"{name}.{column.name}" + (f" [{path}]" if path else "")


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_STEP else f"{text[:LONGEST_STEP]}…"
