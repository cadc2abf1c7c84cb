"""Finds what each column of one query is made of.

sqlglot's `qualify` first replaces `select *`, USING, places in GROUP BY and aliases by columns with
their tables. Then each column is followed through the CTEs and subqueries, from the outside inwards,
together with the path that is read of it: in `json_texts[2]` only the second text matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from include.site.lineage import json_paths
from include.site.lineage.edges import Kind
from include.site.lineage.frames import (
    NO_USES,
    Generated,
    Relation,
    Source,
    Unknown,
    Use,
    Uses,
    as_kind,
    merged,
    unresolved,
)
from include.site.lineage.json_paths import ANY, Path
from include.site.lineage.templates import Forms

EPHEMERAL = "__dbt__cte__"
"""dbt writes an ephemeral model as a CTE with this prefix into each query that reads it."""

LONGEST_STEP = 300
"""Characters of a step that are kept."""

RelationName = tuple[str, str, str]
"""Catalog, schema and name, in lower case."""

JSON_READERS = (
    exp.JSONExtract,
    exp.JSONExtractScalar,
    exp.JSONBExtract,
    exp.JSONBExtractScalar,
    exp.JSONType,
    exp.StructExtract,
)

PATH_KEEPERS = (
    exp.AnyValue,
    exp.Cast,
    exp.FirstValue,
    exp.IgnoreNulls,
    exp.Lag,
    exp.LastValue,
    exp.Lead,
    exp.Lower,
    exp.Max,
    exp.Min,
    exp.Nullif,
    exp.Paren,
    exp.ParseJSON,
    exp.RegexpReplace,
    exp.Replace,
    exp.Trim,
    exp.TryCast,
    exp.Upper,
)
"""Their result has the keys of their first argument."""

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
        self.root = self.nested(_qualified(sql, dialect, relations), None, {})

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
        found = []
        # The list grows while the clauses are read, because they can have subqueries.
        for query in self._reached:
            found.append(query.rows())
        return merged(found)

    def _ctes(
        self, node: exp.Expr, outer: Select | None, ctes: Mapping[str, Cte]
    ) -> dict[str, Cte]:
        clause = node.args.get("with_")
        visible = dict(ctes)
        if clause is not None:
            for cte in clause.expressions:
                # A CTE sees those before it, and itself if it is recursive.
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
                return unresolved("the sides of a union have different numbers of columns")
            found.append(self._right.column(self._right.names[place], path))
        return merged(found) if found else unresolved(f"a subquery has no column {name}")

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
            return unresolved(f"a subquery has no column {name}")
        cycles = self._query.cycles
        self._open.add(key)
        found = self.uses(expression, path)
        self._open.remove(key)
        if found and not isinstance(expression, exp.Column):
            step = expression.sql(self._query.dialect, comments=False)
            step = step if len(step) <= LONGEST_STEP else f"{step[:LONGEST_STEP]}…"
            found = {use: (*steps, step) for use, steps in found.items()}
        if cycles == self._query.cycles:
            self._known[key] = found
        return found

    def rows(self) -> Uses:
        """The uses in the clauses that decide which rows the query has."""
        clauses = self._node.args
        found = [as_kind(Kind.JOIN, self.uses(on)) for on in self._ons]
        found += [
            as_kind(Kind.FILTER, self.uses(clauses[name].this))
            for name in ("where", "having", "qualify")
            if clauses.get(name)
        ]
        if clauses.get("group"):
            found.append(as_kind(Kind.GROUP, self._grouped(clauses["group"])))
        if clauses.get("distinct") and clauses["distinct"].args.get("on"):
            found.append(as_kind(Kind.GROUP, self.uses(clauses["distinct"].args["on"])))
        if clauses.get("limit") and clauses.get("order"):
            found.append(as_kind(Kind.FILTER, self._children(clauses["order"])))
        return merged(found)

    def _grouped(self, group: exp.Group) -> Uses:
        if group.args.get("all"):
            keys = [item for _, item in self._projections if not item.find(exp.AggFunc)]
            return merged(map(self.uses, keys))
        return self._children(group)

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
        if isinstance(node, exp.Lateral):
            inner = node.this
            names = list(node.alias_column_names)
            if isinstance(inner, exp.Subquery):
                return self._query.nested(inner, self, self._ctes)
            return self._generated(inner, names)
        if isinstance(node, exp.Subquery):
            # A derived table does not see its neighbours. The references of LATERAL, which
            # Redshift does not have and DuckDB adds by itself, are found as those of a subquery.
            return self._query.nested(node, self, self._ctes)
        names = list(node.alias_column_names)
        if not isinstance(node, exp.Table):
            return self._generated(node, names)
        if isinstance(node.this, exp.Func):
            return self._generated(node.this, names)
        if not node.db and node.name in self._ctes:
            cte = self._ctes[node.name]
            self._query.reach(cte)
            return cte
        found = self._query.relations.get(node.name)
        return found or Unknown(f"the manifest has no table {node.sql(self._query.dialect)}")

    def _generated(self, node: exp.Expr, aliases: Sequence[str]) -> Source:
        names = aliases or None
        if isinstance(node, exp.Values):
            rows = [row.expressions for row in node.expressions]
            return Generated(self.uses, list(zip(*rows, strict=False)), names, makes_elements=False)
        if isinstance(node, exp.Unnest):
            return Generated(
                self.uses, [[item] for item in node.expressions], names, makes_elements=True
            )
        if not node.find(exp.Column) and not isinstance(node, GENERATORS):
            return Unknown(f"the rows of {node.sql(self._query.dialect)} come from elsewhere")
        arguments = list(node.iter_expressions())
        return Generated(self.uses, [arguments], names, makes_elements=True)

    def _lookup(self, column: exp.Column, path: Path) -> Uses:
        """The uses of a column of this query's sources, or of those of the query around it."""
        name, table = column.name, column.table
        if table in self._sources:
            return self._sources[table].column(name, path)
        if not table:
            # `qualify` leaves out HAVING, aliases, and columns of sources that it does not know.
            for source in self._sources.values():
                if name in (source.names or ()):
                    return source.column(name, path)
            if name in self._by_name and all(name != opened for opened, _ in self._open):
                return self.column(name, path)
            open_sources = [source for source in self._sources.values() if source.names is None]
            if len(open_sources) == 1:
                return open_sources[0].column(name, path)
        if self._outer is not None:
            return self._outer._lookup(column, path)
        return unresolved(f"no table has the column {column.sql(self._query.dialect)}")

    def uses(self, node: exp.Expr, path: Path = ()) -> Uses:
        """All columns that an expression uses; `path` is what is read of its value."""
        if isinstance(node, exp.Column):
            if isinstance(node.this, exp.Star):
                return unresolved(f"the columns of {node.sql(self._query.dialect)} are not known")
            return self._lookup(node, path)
        found = self._uses(node, path)
        forms = self._query.forms.of(node) if found else None
        if forms:
            found = merged(
                {use._replace(through=use.through | forms): steps} for use, steps in found.items()
            )
        return found

    def _uses(self, node: exp.Expr, path: Path) -> Uses:  # noqa: C901, PLR0911, PLR0912
        if isinstance(node, exp.Literal):
            return NO_USES
        if isinstance(node, exp.Case):
            return self._case(node, path)
        if isinstance(node, exp.If):
            branches = [node.args["true"], node.args.get("false")]
            return merged(
                [as_kind(Kind.CONDITION, self.uses(node.this))]
                + [self.uses(branch, path) for branch in branches if branch is not None]
            )
        if isinstance(node, exp.Coalesce):
            return self._coalesce(node, path)
        if isinstance(node, PATH_KEEPERS):
            rest = [child for child in node.iter_expressions() if child is not node.this]
            return merged([self.uses(node.this, path), *map(self.uses, rest)])
        if isinstance(node, exp.Window):
            outside = [*(node.args.get("partition_by") or ()), node.args.get("order")]
            return merged(
                [self.uses(node.this, path)]
                + [as_kind(Kind.WINDOW, self.uses(item)) for item in outside if item is not None]
            )
        if isinstance(node, exp.Order) and node.this is not None:
            # The order of the rows in an aggregate such as string_agg(a order by b).
            return merged(
                [self.uses(node.this, path)]
                + [as_kind(Kind.WINDOW, self.uses(item)) for item in node.expressions]
            )
        if isinstance(node, exp.WithinGroup) and node.this.find(exp.Column):
            return merged([self.uses(node.this), as_kind(Kind.WINDOW, self.uses(node.expression))])
        if isinstance(node, exp.Filter | exp.ArgMax | exp.ArgMin):
            return merged(
                [self.uses(node.this, path), as_kind(Kind.CONDITION, self.uses(node.expression))]
            )
        if isinstance(node, exp.Exists):
            nested = self._query.nested(node.this, self, self._ctes)
            return as_kind(Kind.CONDITION, nested.rows())
        if isinstance(node, exp.Query):
            nested = self._query.nested(node, self, self._ctes)
            return nested.column(nested.names[0], path)
        if isinstance(node, exp.Star | exp.Columns):
            return (
                NO_USES
                if isinstance(node.parent, exp.Count)
                else unresolved(f"the columns of {node.sql(self._query.dialect)} are not known")
            )
        return self._part(node, path)

    def _part(self, node: exp.Expr, path: Path) -> Uses:  # noqa: PLR0911
        """The uses of an expression that reads a part of a value, or puts one together."""
        if isinstance(node, JSON_READERS):
            return self._extract(node, path)
        if isinstance(node, exp.Bracket) and len(node.expressions) == 1:
            index = node.expressions[0]
            return merged(
                [
                    self.uses(node.this, (json_paths.of_index(index), *path)),
                    as_kind(Kind.CONDITION, self.uses(index)),
                ]
            )
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
            return self.uses(node.this, (node.expression.name, *path))
        if isinstance(node, exp.Array) and path and isinstance(path[0], int):
            place = path[0]
            in_range = place < len(node.expressions)
            return self.uses(node.expressions[place], path[1:]) if in_range else NO_USES
        if isinstance(node, exp.Struct) and path and isinstance(path[0], str):
            fields = {item.name: item.expression for item in node.expressions if item.expression}
            return self.uses(fields[path[0]], path[1:]) if path[0] in fields else NO_USES
        if isinstance(node, exp.DPipe | exp.Concat) and path:
            inner = json_paths.inside_of_built(node, path)
            if inner is not None:
                return self.uses(inner, path[1:])
        if isinstance(node, exp.Anonymous) and node.name.lower() == ARRAY_ELEMENT:
            json, index = node.expressions[:2]
            return self.uses(json, (json_paths.of_index(index), *path))
        return self._children(node)

    def _children(self, node: exp.Expr) -> Uses:
        return merged(map(self.uses, node.iter_expressions()))

    def _case(self, case: exp.Case, path: Path) -> Uses:
        conditions = [branch.this for branch in case.args["ifs"]]
        values = [branch.args["true"] for branch in case.args["ifs"]]
        conditions += [case.this] if case.this is not None else []
        values += [case.args["default"]] if case.args.get("default") is not None else []
        return merged(
            [self.uses(value, path) for value in values]
            + [as_kind(Kind.CONDITION, self.uses(condition)) for condition in conditions]
        )

    def _coalesce(self, node: exp.Coalesce, path: Path) -> Uses:
        values = [node.this, *node.expressions]
        if IS_WRITTEN not in node.meta and not self._has_outer_right_side:
            # `qualify` made it of a column of USING, which is that of the left side.
            values = values[:1]
        return merged(self.uses(value, path) for value in values)

    @cached_property
    def _has_outer_right_side(self) -> bool:
        joins = self._node.args.get("joins") or ()
        return any(join.side in {"RIGHT", "FULL"} for join in joins)

    def _extract(self, node: exp.Expr, path: Path) -> Uses:
        read = json_paths.of_extract(node)
        if isinstance(read, list):
            if path and isinstance(path[0], int):
                read = read[path[0] : path[0] + 1]
                path = path[1:]
            return merged(self.uses(node.this, (*one, *path)) for one in read)
        if read is None:
            computed = [child for child in node.iter_expressions() if child is not node.this]
            return merged(
                [self.uses(node.this, (ANY,))]
                + [as_kind(Kind.CONDITION, self.uses(child)) for child in computed]
            )
        if read and read[-1] is ANY and path:
            # All values as a list, of which one is read.
            read = read[:-1]
        return self.uses(node.this, (*read, *path))


ARRAY_ELEMENT = "json_extract_array_element_text"
IS_WRITTEN = "is_written"


def _qualified(sql: str, dialect: str, relations: Mapping[RelationName, Relation]) -> exp.Expr:
    tree = sqlglot.parse_one(sql, dialect=dialect)
    if not isinstance(tree, exp.Query):
        raise sqlglot.ParseError(f"{tree.key} is no query")
    _remove_ephemeral(tree)
    found: dict[str, dict[str, str]] = {}
    for table in tree.find_all(exp.Table):
        relation = _relation(table, relations)
        if relation is not None:
            # A flat name, so that catalogs, schemas and CTEs of the same name do not matter.
            alias = table.alias_or_name
            name = relation.unique_id.lower()
            table.set("this", exp.to_identifier(name, quoted=True))
            table.set("db", None)
            table.set("catalog", None)
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
            if relation.names:
                found[name] = dict.fromkeys(relation.names, "unknown")
    for node in tree.find_all(exp.Coalesce):
        node.meta[IS_WRITTEN] = True
    return qualify(
        tree,
        dialect=dialect,
        schema=MappingSchema(found, dialect=dialect, normalize=False),
        quote_identifiers=False,
        identify=False,
        # `Select` looks for aliases itself, and gives each column that is not found a reason.
        expand_alias_refs=False,
        allow_partial_qualification=True,
        validate_qualify_columns=False,
    )


def _remove_ephemeral(tree: exp.Expr) -> None:
    """Remove the CTEs of ephemeral models, so that these are read as tables."""
    clause = tree.args.get("with_")
    if clause is not None:
        kept = [cte for cte in clause.expressions if not cte.alias.startswith(EPHEMERAL)]
        clause.set("expressions", kept)
        if not kept:
            tree.set("with_", None)


def _relation(table: exp.Table, relations: Mapping[RelationName, Relation]) -> Relation | None:
    if not table.db and not table.name.startswith(EPHEMERAL):
        return None
    catalog, schema, name = table.catalog.lower(), table.db.lower(), table.name.lower()
    found = relations.get((catalog, schema, name))
    if found is None and not catalog:
        matching = [relation for key, relation in relations.items() if key[1:] == (schema, name)]
        found = matching[0] if len(matching) == 1 else None
    return found
