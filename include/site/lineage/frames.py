"""The sources that a query reads, and the uses of columns that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sqlglot import exp

from include.site.lineage.edges import ROWS, Kind
from include.site.lineage.json_paths import ANY, Path, shown


class Use(NamedTuple):
    """A column of a table that an expression uses. Without a table, `column` is a reason."""

    unique_id: str
    column: str
    path: str
    kind: Kind
    through: frozenset[str]


Uses = dict[Use, tuple[str, ...]]
"""Each use with the steps from the table to the expression, as SQL."""

NO_USES: Uses = {}


def unknown(reason: str) -> Uses:
    """A use of a column that is not known, with the reason."""
    return {Use("", reason, "", Kind.VALUE, frozenset()): ()}


def merged(many: Iterable[Uses]) -> Uses:
    """All uses together. Of two equal uses the steps of the first are kept."""
    found: Uses = {}
    for uses in many:
        for use, steps in uses.items():
            found.setdefault(use, steps)
    return found


def as_kind(kind: Kind, uses: Uses) -> Uses:
    """The same uses as another kind, because of the place in which the expression stands.

    A column that only orders or partitions the rows of a function is not read by a condition.
    """
    kept = {Kind.WINDOW} if kind is Kind.CONDITION else set()
    return {
        use if use.kind in kept else use._replace(kind=kind): steps for use, steps in uses.items()
    }


class Source(Protocol):
    """Something that a query selects from."""

    @property
    def names(self) -> Sequence[str] | None:
        """The names of its columns; None if they are not known."""

    def column(self, name: str, path: Path) -> Uses:
        """What this path of the column is made of."""


@dataclass(frozen=True)
class Relation:
    """A node or source of dbt. If its columns are not known, it may have any column."""

    unique_id: str
    names: Sequence[str] | None

    def column(self, name: str, path: Path) -> Uses:
        """The column itself."""
        if self.names is not None and name not in self.names:
            return unknown(f"{self.unique_id} has no column {name}")
        return {Use(self.unique_id, name, shown(path), Kind.VALUE, frozenset()): ()}


@dataclass(frozen=True)
class Unknown:
    """A source of which nothing is known."""

    reason: str
    names: None = None

    def column(self, name: str, path: Path) -> Uses:  # noqa: ARG002 - one signature
        """The reason, for each column."""
        return unknown(self.reason)


@dataclass(frozen=True)
class Generated:
    """Rows that a function makes of its arguments, or that VALUES lists.

    `arguments` has one list of expressions per column if `names` are known, else one for all.
    """

    evaluate: Callable[[exp.Expr, Path], Uses]
    arguments: Sequence[Sequence[exp.Expr]]
    names: Sequence[str] | None
    makes_elements: bool
    """Whether each row is an element of an argument, so that a path goes through `[*]`."""

    def column(self, name: str, path: Path) -> Uses:
        """What the arguments of this column, or else of all columns, are made of."""
        chosen = self.arguments
        if self.names and name in self.names and len(self.names) == len(self.arguments):
            chosen = [self.arguments[self.names.index(name)]]
        path = (ANY, *path) if self.makes_elements else path
        return merged(self.evaluate(argument, path) for group in chosen for argument in group)


def row(source: Source, path: Path) -> Uses:
    """What a whole row of a source is made of: all its columns, or the one that `path` reads."""
    names = source.names
    if isinstance(source, Generated | Unknown):
        return merged(source.column(name, path) for name in names or [ROWS])
    if names is None or ROWS in names:
        return unknown("the columns of a whole row are not known")
    if path and isinstance(path[0], str) and path[0].lower() in names:
        return source.column(path[0].lower(), path[1:])
    return merged(source.column(name, ()) for name in names)
