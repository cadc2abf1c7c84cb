"""Finds what each column of one query is made of.

Each column is followed through the CTEs and subqueries, from the outside inwards, together with the
path that is read of it: in `json_texts[2]` only the second text matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import sqlglot
from sqlglot import exp

from include.site.lineage.edges import ROWS, Kind
from include.site.lineage.expressions import COLUMNS, all_uses, uses, uses_of_children
from include.site.lineage.frames import (
    NO_USES,
    Generated,
    Relation,
    Source,
    Unknown,
    Uses,
    as_kind,
    merged,
    row,
    unknown,
)
from include.site.lineage.json_paths import Path
from include.site.lineage.qualified import RelationName, qualified
from include.site.lineage.templates import Forms

LONGEST_STEP = 300
"""Characters of a step that are kept."""

GENERATORS = (exp.GenerateSeries, exp.Unnest, exp.Values)
"""Functions whose rows come from nowhere else than from their arguments."""


class Query:
    """The query of one node, qualified. `relations` are the tables that it may read."""

    def __init__(
        self, sql: str, dialect: str, relations: Mapping[RelationName, Relation], forms: Forms
    ) -> None:
        self.dialect = dialect
        self.forms = forms
        self.relations = {relation.unique_id.lower(): relation for relation in relations.values()}
        self.cycles = 0
        self._reached: list[Select | SetOperation | Cte] = []
        self._nested: dict[int, Select | SetOperation] = {}
        self.root = self.nested(qualified(sql, dialect, relations), None, {})

    def nested(
        self, node: exp.Expr, outer: Select | None, ctes: Mapping[str, Cte]
    ) -> Select | SetOperation:
        """The query of a node of the tree; `outer` is the query in which it stands."""
        found = self._nested.get(id(node))
        if found is None:
            inner = node.unnest() if isinstance(node, exp.Subquery) else node
            # A parenthesized query can have CTEs of its own.
            ctes = {**ctes, **self._ctes(node, outer, ctes)} if node is not inner else ctes
            ctes = {**ctes, **self._ctes(inner, outer, ctes)}
            if isinstance(inner, exp.SetOperation):
                found = SetOperation(self, inner, outer, ctes)
            elif isinstance(inner, exp.Select):
                found = Select(self, inner, outer, ctes)
            else:
                raise sqlglot.UnsupportedError(f"{inner.key.upper()} is not followed")
            self._nested[id(node)] = found
            self.reach(found)
        return found

    def reach(self, source: Select | SetOperation | Cte) -> None:
        """Note that the query reads this one, so that its clauses decide about the rows, too."""
        self._reached.append(source)

    def rows(self) -> Uses:
        """The uses that decide which rows the query has, in all queries that it reaches."""
        # The list grows while the clauses are read, because they can have subqueries.
        return merged(query.rows() for query in self._reached)

    def _ctes(
        self, node: exp.Expr, outer: Select | None, ctes: Mapping[str, Cte]
    ) -> dict[str, Cte]:
        clause = node.args.get("with_")
        visible = dict(ctes)
        if clause is not None:
            for cte in clause.expressions:
                # A CTE can read those before it, and itself if it is recursive.
                seen = visible if clause.args.get("recursive") else dict(visible)
                visible[cte.alias] = Cte(self, cte.this, outer, seen)
        return visible


class Cte:
    """A CTE. Its query is built when it is read, because a recursive one reads itself."""

    def __init__(
        self, query: Query, node: exp.Expr, outer: Select | None, ctes: Mapping[str, Cte]
    ) -> None:
        self._query = query
        self._node = node
        self._outer = outer
        self._ctes = ctes

    @cached_property
    def built(self) -> Select | SetOperation:
        """The query of the CTE."""
        return self._query.nested(self._node, self._outer, self._ctes)

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""
        return self.built.names

    def column(self, name: str, path: Path) -> Uses:
        """What the column of the CTE's query is made of."""
        return self.built.column(name, path)

    def rows(self) -> Uses:
        """Nothing: building the query of the CTE adds it to those that are reached."""
        _ = self.built
        return NO_USES


class SetOperation:
    """UNION, EXCEPT or INTERSECT: the columns of both sides are matched by position."""

    def __init__(
        self, query: Query, node: exp.Expr, outer: Select | None, ctes: Mapping[str, Cte]
    ) -> None:
        self._is_union = isinstance(node, exp.Union)
        self._is_by_name = bool(node.args.get("by_name"))
        self._left = query.nested(node.this, outer, ctes)
        self._right = query.nested(node.expression, outer, ctes)

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""
        if not self._is_by_name:
            return self._left.names
        return list(dict.fromkeys([*self._left.names, *self._right.names]))

    def column(self, name: str, path: Path) -> Uses:
        """What the column is made of: in a union of both sides, otherwise of the left one."""
        found = [self._left.column(name, path)] if name in self._left.names else []
        if self._is_union and self._is_by_name:
            found += [self._right.column(name, path)] if name in self._right.names else []
        elif self._is_union and found:
            place = self._left.names.index(name)
            if place >= len(self._right.names):
                return unknown("the sides of a union have different numbers of columns")
            found.append(self._right.column(self._right.names[place], path))
        return merged(found) if found else unknown(f"a subquery has no column {name}")

    def rows(self) -> Uses:
        """The right side of EXCEPT and INTERSECT filters the left one."""
        if self._is_union:
            return NO_USES
        return as_kind(
            Kind.FILTER, merged(self._right.column(name, ()) for name in self._right.names)
        )


class Select:
    """A SELECT with the sources of its FROM clause."""

    def __init__(
        self, query: Query, node: exp.Expr, outer: Select | None, ctes: Mapping[str, Cte]
    ) -> None:
        self.dialect = query.dialect
        self.forms = query.forms
        self._query = query
        self._node = node
        self._outer = outer
        self._ctes = ctes
        self._known: dict[tuple[str, Path], Uses] = {}
        self._open: set[tuple[str, Path]] = set()
        self._projections = [(item.alias_or_name, item.unalias()) for item in node.expressions]
        self._by_name = dict(reversed(self._projections))
        self.names = [name for name, _ in self._projections]
        self._sources: dict[str, Source] = {}
        self._ons: list[exp.Expr] = []
        if start := node.args.get("from_"):
            self._add(start.this)
        self._add_joins(node)
        for lateral in node.args.get("laterals") or ():
            self._add(lateral)

    def column(self, name: str, path: Path) -> Uses:
        """What this path of the column is made of, with the steps that are more than a name."""
        key = (name, path)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            # A recursive CTE adds nothing to the column that it has not from its first part.
            self._query.cycles += 1
            return NO_USES
        expression = self._by_name.get(name)
        if expression is None:
            return self._column_of_star(name, path)
        cycles = self._query.cycles
        self._open.add(key)
        found = uses(expression, self, path)
        self._open.remove(key)
        if found and not isinstance(expression, exp.Column):
            step = expression.sql(self.dialect, comments=False)
            step = step if len(step) <= LONGEST_STEP else f"{step[:LONGEST_STEP]}…"
            found = {use: (*steps, step) for use, steps in found.items()}
        if cycles == self._query.cycles:
            self._known[key] = found
        return found

    def _column_of_star(self, name: str, path: Path) -> Uses:
        """A column of `select *`, which `qualify` leaves if it does not know the columns."""
        star = self._by_name.get(ROWS)
        if star is None:
            return unknown(f"a subquery has no column {name}")
        table = star.table if isinstance(star, exp.Column) else None
        return self.lookup(exp.column(name, table=table), path)

    def rows(self) -> Uses:
        """The uses in the clauses that decide which rows the query has."""
        clauses = self._node.args
        filters = [
            clauses[name].this for name in ("where", "having", "qualify") if clauses.get(name)
        ]
        groups = [clauses["distinct"].args.get("on")] if clauses.get("distinct") else []
        if clauses.get("limit") and clauses.get("order"):
            filters.append(clauses["order"])
        found = [
            as_kind(Kind.JOIN, all_uses(self._ons, self)),
            as_kind(Kind.FILTER, all_uses(filters, self)),
            as_kind(Kind.GROUP, all_uses(groups, self)),
        ]
        if group := clauses.get("group"):
            found.append(as_kind(Kind.GROUP, self._grouped(group)))
        return merged(found)

    def _grouped(self, group: exp.Group) -> Uses:
        if not group.args.get("all"):
            return uses_of_children(group, self)
        keys = [item for _, item in self._projections if not item.find(exp.AggFunc)]
        return all_uses(keys, self)

    @cached_property
    def keeps_right_rows(self) -> bool:
        """Whether a RIGHT or FULL join keeps rows without a row on the left side."""
        joins = self._node.args.get("joins") or ()
        return any(join.side in {"RIGHT", "FULL"} for join in joins)

    def subquery(self, node: exp.Expr) -> Select | SetOperation:
        """The query of a node inside of this one."""
        return self._query.nested(node, self, self._ctes)

    def _add_joins(self, node: exp.Expr) -> None:
        for join in node.args.get("joins") or ():
            self._add(join.this)
            if join.args.get("on"):
                self._ons.append(join.args["on"])
            if join.args.get("match_condition"):
                self._ons.append(join.args["match_condition"])

    def _add(self, node: exp.Expr) -> None:
        """Add the source of a FROM or JOIN clause under its alias."""
        if isinstance(node, exp.Subquery | exp.Paren) and isinstance(node.this, exp.Table):
            # Parentheses around a join.
            self._add(node.this)
            self._add_joins(node)
            return
        pivots = node.args.get("pivots")
        alias = pivots[-1].alias if pivots else node.alias_or_name
        self._sources[alias] = self._source(node)
        if isinstance(node, exp.Table):
            self._add_joins(node)

    def _source(self, node: exp.Expr) -> Source:
        if node.args.get("pivots"):
            return Unknown("PIVOT and UNPIVOT are not followed")
        if isinstance(node, exp.Subquery):
            return self.subquery(node)
        if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            return self.subquery(node.this)
        if isinstance(node, exp.Lateral) or isinstance(node.this, exp.Func):
            return self._generated(node.this, node.alias_column_names)
        if not isinstance(node, exp.Table):
            return self._generated(node, node.alias_column_names)
        return self._table(node)

    def _table(self, table: exp.Table) -> Source:
        if not table.db and table.name in self._ctes:
            cte = self._ctes[table.name]
            self._query.reach(cte)
            return cte
        found = self._query.relations.get(table.name)
        return found or Unknown(f"the manifest has no table {table.sql(self.dialect)}")

    def _generated(self, node: exp.Expr, aliases: Sequence[str]) -> Source:
        """The rows that a function makes. Its arguments can be columns of the other sources."""
        if isinstance(node, exp.Values):
            rows = [row.expressions for row in node.expressions]
            by_column = list(zip(*rows, strict=False))
            return Generated(self._evaluate, by_column, aliases or None, makes_elements=False)
        if isinstance(node, exp.Unnest):
            arguments = [[item] for item in node.expressions]
        elif isinstance(node, GENERATORS) or node.find(*COLUMNS):
            arguments = [list(node.iter_expressions())]
        else:
            return Unknown(f"the rows of {node.sql(self.dialect)} come from elsewhere")
        return Generated(self._evaluate, arguments, aliases or None, makes_elements=True)

    def _evaluate(self, node: exp.Expr, path: Path) -> Uses:
        return uses(node, self, path)

    def lookup(self, column: exp.Column, path: Path) -> Uses:
        """The uses of a column of this query's sources, or of those of the query around it."""
        name, table = column.name, column.table
        if table in self._sources:
            return self._sources[table].column(name, path)
        found = None if table else self._unqualified(name, path)
        if found is not None:
            return found
        if self._outer is not None:
            return self._outer.lookup(column, path)
        return unknown(f"no table has the column {column.sql(self.dialect)}")

    def _unqualified(self, name: str, path: Path) -> Uses | None:
        """The uses of a column to which `qualify` has given no table; None if it is not found.

        These stand in HAVING, are aliases, or belong to sources whose columns are not known.
        """
        for source in self._sources.values():
            if name in (source.names or ()):
                return source.column(name, path)
        open_sources = [
            source
            for source in self._sources.values()
            if source.names is None or ROWS in source.names
        ]
        if name in self._sources:
            if any(not isinstance(source, Generated) for source in open_sources):
                return unknown(f"{name} can be a column or a whole row")
            return row(self._sources[name], path)
        if name in self._by_name and all(name != opened for opened, _ in self._open):
            return self.column(name, path)
        if len(open_sources) == 1:
            return open_sources[0].column(name, path)
        return None

    def row(self, node: exp.TableColumn, path: Path) -> Uses:
        """The uses of all columns of a source of this query, or of the query around it."""
        if node.name in self._sources:
            return row(self._sources[node.name], path)
        if self._outer is not None:
            return self._outer.row(node, path)
        return unknown(f"no table has the name {node.name}")
