"""SELECT and DML: Redshift's SQL as a tree, the views in it put in place, PostgreSQL's SQL out of
it.

sqlglot would translate Redshift's functions into what it thinks PostgreSQL's are. Here it only
parses: nearly every function goes through as it is written, and functions.sql gives it Redshift's
meaning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.generators.postgres import PostgresGenerator
from sqlglot.parsers.redshift import RedshiftParser
from sqlglot.tokenizer_core import Token

from tests.redshift_standin import lateral_aliases, numeric_types
from tests.redshift_standin.refusals import (
    Refused,
    refuse_functions,
    refuse_pattern,
    refuse_tree,
    syntax_error,
    unsupported_here,
)

# Functions that a rule needs to see by kind; the others stay what they are called.
TYPED_FUNCTIONS = """
    AVG COUNT MAX MIN SUM STDDEV STDDEV_POP STDDEV_SAMP VARIANCE VAR_POP VAR_SAMP
    VARIANCE_POP BOOL_AND BOOL_OR LOGICAL_AND LOGICAL_OR FIRST_VALUE LAST_VALUE NTH_VALUE
    LAG LEAD ROW_NUMBER RANK DENSE_RANK NTILE LISTAGG MEDIAN PERCENTILE_CONT PERCENTILE_DISC
    COALESCE NVL NVL2 NULLIF
    """.split()  # noqa: SIM905

PARSED_FUNCTIONS = (
    "CAST",
    "CONVERT",
    "DECODE",
    "EXTRACT",
    "POSITION",
    "SUBSTRING",
    "TRIM",
    "TRY_CAST",
)


class Source(Redshift):
    """Redshift's syntax, its functions unread."""

    class Parser(RedshiftParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {
            name: RedshiftParser.FUNCTIONS[name]
            for name in TYPED_FUNCTIONS
            if name in RedshiftParser.FUNCTIONS
        }
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: RedshiftParser.FUNCTION_PARSERS[name]
            for name in PARSED_FUNCTIONS
            if name in RedshiftParser.FUNCTION_PARSERS
        }


class Target(Postgres):
    """PostgreSQL's syntax, with calls into functions.sql where it has no equivalent."""

    class Generator(PostgresGenerator):
        TRANSFORMS: ClassVar[dict[Any, Any]] = {
            **PostgresGenerator.TRANSFORMS,
            exp.CurrentTimestamp: lambda _, node: (
                "sysdate()" if node.args.get("sysdate") else "getdate()"
            ),
            # It is defined below.
            exp.Extract: lambda self, node: part_of_time(self, node),  # noqa: PLW0108
            exp.GroupConcat: lambda self, node: list_aggregate(self, node),  # noqa: PLW0108
            exp.ApproxDistinct: lambda self, node: f"COUNT(DISTINCT {self.sql(node, 'this')})",
            exp.ApproxQuantile: lambda self, node: (
                f"PERCENTILE_DISC({self.sql(node, 'quantile')}) "
                f"WITHIN GROUP (ORDER BY {self.sql(node, 'this')})"
            ),
        }

        def withingroup_sql(self, node: exp.WithinGroup) -> str:
            if isinstance(node.this, exp.GroupConcat):
                return list_aggregate(self, node.this, node.expression)
            return str(super().withingroup_sql(node))

        def ignorenulls_sql(self, _: exp.IgnoreNulls) -> str:
            raise unsupported_here("PostgreSQL has no IGNORE NULLS")


def part_of_time(generator: Any, node: exp.Extract) -> str:
    """EXTRACT and DATE_PART: integers."""
    unit, value = node.name.lower(), generator.sql(node, "expression")
    if unit == "epoch":
        return f"standin.epoch_of({value})"
    return f"standin.part_of('{unit}', {value})"


def list_aggregate(generator: Any, node: exp.GroupConcat, order: exp.Order | None = None) -> str:
    """LISTAGG. sqlglot keeps the separator inside DISTINCT."""
    value, separator, distinct = node.this, node.args.get("separator"), ""
    if isinstance(value, exp.Distinct):
        distinct = "DISTINCT "
        if len(value.expressions) > 1:
            separator = separator or value.expressions[1]
        value = value.expressions[0]
        if isinstance(value, exp.Concat):
            separator, value = separator or value.expressions[1], value.expressions[0]
    # Empty texts count for nothing, as nulls do.
    text = exp.Nullif(this=exp.cast(value.copy(), "varchar"), expression=exp.Literal.string(""))
    if order is not None:
        order = order.copy()
        for ordered in order.expressions:
            # With DISTINCT PostgreSQL wants to see the argument itself.
            if distinct and ordered.this == value:
                ordered.set("this", text.copy())
    joined = generator.sql(separator) if separator else "''"
    ordering = generator.sql(order).strip() if order is not None else ""
    return f"STRING_AGG({distinct}{generator.sql(text)}, {joined} {ordering})"


# Parsing
# ------------------------------------------------------------------------------------------------

OUTSIDE_QUOTES = r"'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/"
PARAMETER = re.compile(rf"{OUTSIDE_QUOTES}|\$(\d+)", re.DOTALL)
PLACEHOLDER = re.compile(r"\bstandin_parameter_(\d+)\b")


@dataclass(frozen=True)
class Parsed:
    tree: exp.Expr
    tokens: list[Token] = field(compare=False)


@lru_cache(maxsize=2048)
def _parse(sql: str) -> Parsed:
    # sqlglot would read $1 ... $2 as one quoted text.
    sql = PARAMETER.sub(lambda m: f"standin_parameter_{m[1]}" if m[1] else m[0], sql)
    dialect = Source()
    try:
        tokens = list(dialect.tokenize(sql))
        trees = [tree for tree in dialect.parser().parse(tokens, sql) if tree is not None]
    except TokenError as error:
        raise Refused("42601", f"syntax error: {error}") from None
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise Refused(
            "42601",
            f'syntax error at or near "{first.get("highlight") or "end of statement"}"',
            str(first.get("description", error)),
        ) from None
    if len(trees) != 1:
        raise syntax_error(";")
    tree = trees[0]
    if isinstance(tree, exp.Command):
        raise syntax_error(sql.split()[0])
    refuse_tree(tree)
    for node in tree.find_all(exp.Anonymous):
        if node.name.lower().startswith("regexp_") and len(node.expressions) > 1:
            last = node.expressions[-1]
            perl = len(node.expressions) > 2 and isinstance(last, exp.Literal) and "p" in last.name
            if not perl:
                refuse_pattern(node.expressions[1])
    refuse_reserved_words(tree)
    return Parsed(tree, tokens)


def parse(sql: str) -> Parsed:
    """The tree of one statement, to be copied before it is changed; raises Refused."""
    return _parse(sql.strip().rstrip(";"))


# Reserved in Redshift, not in PostgreSQL: as a column's name they need quotes.
RESERVED_WORDS = frozenset(
    """
    aes128 aes256 allowoverwrite az64 backup blanksasnull bytedict bzip2 credentials deflate
    defrag delta delta32k disable emptyasnull enable encode encrypt encryption explicit
    globaldict256 globaldict64k gzip identity ignore language lun luns lzo lzop minus
    mostly13 mostly32 mostly8 open parallel partition percent permissions pivot rawf raw
    readratio recover rejectlog resort respect restore snapshot sysdate system tag tdes
    text255 text32k top truncatecolumns unpivot wallet without
    """.split()  # noqa: SIM905
)


def refuse_reserved_words(tree: exp.Expr) -> None:
    for column in tree.find_all(exp.Column, exp.TableAlias):
        name = column.this
        if (
            isinstance(name, exp.Identifier)
            and not name.quoted
            and name.name.lower() in RESERVED_WORDS
        ):
            raise syntax_error(name.name)


def own_names(tree: exp.Expr) -> set[str]:
    return {cte.alias.lower() for cte in tree.find_all(exp.CTE)}


def tables_in(tree: exp.Expr) -> Iterator[exp.Table]:
    """References to relations, those to common table expressions left out."""
    names = own_names(tree)
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or table.name.lower() not in names):
            yield table


def name_of(table: exp.Table) -> str:
    """`"schema"."table"` in lower case, as PostgreSQL quotes it."""
    return ".".join(quoted(part.name.lower()) for part in table.parts)


def kept_name(name: str) -> str:
    """A name in PostgreSQL, which keeps 63 bytes of it where Redshift keeps 127."""
    written = name.encode()
    if len(written) <= 63:
        return name
    told = hashlib.sha256(written[:127]).hexdigest()[:16]
    return f"{written[:46].decode(errors='ignore')}_{told}"


def quoted(name: str) -> str:
    name = kept_name(name)
    return '"' + name.replace('"', '""') + '"'


# Translation
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Relation:
    """What a name stands for: a late-binding `view` with its body and owner, an `external` table
    with its id, a `bound` view, or a relation that is `lent` by a view's owner, with its columns.
    """

    kind: str
    body: str
    is_allowed: bool
    name: str
    owner: str = ""


@dataclass
class Names:
    """What the names of a statement stand for, by who reads (a view's owner, or nobody) and folded
    name; and the columns by folded name, those of numbers with their types.
    """

    relations: dict[tuple[str, str], Relation] = field(default_factory=dict)
    columns: dict[str, set[str]] = field(default_factory=dict)
    numbers: dict[str, dict[str, numeric_types.Number]] = field(default_factory=dict)


@dataclass
class Translated:
    """PostgreSQL's statement, the external tables in it, and the query that EXPLAIN is given."""

    sql: str
    external_tables: set[int] = field(default_factory=set)
    query: str = ""


SYSTEM_RELATION = re.compile(
    r"^(pg_|svv_|svl_|stl_|stv_|sys_|svcs_|information_schema)", re.IGNORECASE
)


def reads_user_tables(tree: exp.Expr) -> bool:
    return any(not SYSTEM_RELATION.match(table.db or table.name) for table in tables_in(tree))


def translate(parsed: Parsed, names: Names) -> Translated:
    """PostgreSQL's text of a statement whose names are resolved; raises Refused."""
    refuse_functions(parsed.tokens, reads_user_tables(parsed.tree))
    external: set[int] = set()
    tree = in_place(parsed.tree.copy(), names.relations, external, ())
    lateral_aliases.apply(tree, names.columns)
    numeric_types.apply(tree, names.numbers)
    rewrite(tree)
    try:
        sql = tree.sql(dialect=Target, unsupported_level=ErrorLevel.RAISE, comments=False)
    except SqlglotError as error:
        raise unsupported_here(f"no translation: {error}") from None
    return Translated(PLACEHOLDER.sub(r"$\1", sql), external)


PSEUDO_COLUMNS = {"$path", "$size"}


def in_place(  # noqa: C901 - a list of rules
    tree: exp.Expr,
    relations: Mapping[tuple[str, str], Relation],
    external: set[int],
    inside: tuple[str, ...],
    reader: str = "",
) -> exp.Expr:
    """Late-binding views replaced by their bodies; external tables noted, and with pseudo-columns
    if asked.
    """
    asks_path = any(c.name.lower() in PSEUDO_COLUMNS for c in tree.find_all(exp.Column))
    target = (
        tree.this if isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Merge)) else None
    )
    if isinstance(target, exp.Schema):
        target = target.this
    for table in list(tables_in(tree)):
        name = name_of(table)
        relation = relations.get((reader, name))
        if relation is None:
            continue
        if table is target:
            raise Refused(
                "0A000", f'cannot change "{relation.name}": it is a view or an external table'
            )
        if relation.kind == "bound":
            continue
        if relation.kind == "lent":
            table.replace(lent(table, relation, reader))
            continue
        if relation.kind == "external":
            if not relation.is_allowed:
                raise Refused(
                    "42501", f"permission denied for schema {relation.name.split('.')[0]}"
                )
            external.add(int(relation.body))
            if asks_path:
                if not table.alias:
                    table.set(
                        "alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
                    )
                table.this.set("this", table.name.lower() + "$")
                table.this.set("quoted", True)
            continue
        if not relation.is_allowed:
            raise Refused("42501", f"permission denied for relation {relation.name}")
        if name in inside:
            raise Refused(
                "42P17", f"infinite recursion detected in rules for relation {relation.name}"
            )
        tree_of_view = parse(relation.body).tree.copy()
        body = in_place(tree_of_view, relations, external, (*inside, name), relation.owner)
        table.replace(instead_of(table, body))
    return tree


def instead_of(table: exp.Table, query: exp.Expr) -> exp.Subquery:
    """A query in the place of a table, under its name."""
    alias = table.args.get("alias") or exp.TableAlias(
        this=exp.to_identifier(table.name, quoted=True)
    )
    subquery = exp.Subquery(this=query, alias=alias.copy())
    if table.args.get("joins"):
        subquery.set("joins", table.args["joins"])
    return subquery


def lent(table: exp.Table, relation: Relation, owner: str) -> exp.Expr:
    """What a view's owner may read, read for him who may read the view."""
    texts = (exp.Literal.string(text).sql(dialect=Target) for text in (owner, name_of(table)))
    sql = f"select * from standin.read_as({', '.join(texts)}) as rows_lent ({relation.body})"
    return instead_of(table, exp.maybe_parse(sql, dialect=Target))


def rewrite(tree: exp.Expr) -> None:  # noqa: C901 - a list of rules
    """What differs between the two dialects, in place."""
    aliases = (f"standin_{number}" for number in range(1_000_000))
    # Inner nodes first: an outer one is rebuilt from copies of them.
    for node in reversed(list(tree.walk())):
        if isinstance(node, exp.Identifier):
            # Redshift folds quoted names too, unless enable_case_sensitive_identifier is on.
            node.set("this", kept_name(node.name.lower()))
        elif isinstance(node, exp.DataType):
            rewrite_type(node)
        elif isinstance(node, exp.TryCast):
            node.replace(tried(node))
        elif isinstance(node, exp.Cast) and numeric_types.of_data_type(node.to):
            rewrite_cast_to_number(node)
        elif isinstance(node, exp.Subquery):
            # PostgreSQL 15 wants an alias, Redshift does not.
            if isinstance(node.parent, (exp.From, exp.Join)) and not node.alias:
                node.set("alias", exp.TableAlias(this=exp.to_identifier(next(aliases))))
        elif isinstance(node, exp.Anonymous):
            change = REWRITTEN_CALLS.get(node.name.lower())
            if change:
                node.replace(change(node))
        elif isinstance(node, exp.Case) and not node.args.get("default"):
            node.set("default", typed_null(node.args["ifs"][0].args["true"]))
        elif isinstance(node, exp.Window) and node.this.name.lower() == "ratio_to_report":
            rewrite_ratio(node)
    for average in reversed(list(tree.find_all(exp.Avg))):
        rewrite_average(average)


def rewrite_type(node: exp.DataType) -> None:
    if node.this is exp.DType.VARBINARY:
        node.set("expressions", [])
    elif node.expressions and node.expressions[0].name.lower() == "max":
        node.set("expressions", [exp.DataTypeParam(this=exp.Literal.number(65535))])


def tried(node: exp.TryCast) -> exp.Expr:
    """TRY_CAST, by a function that catches what a cast raises."""
    name = exp.Literal.string(node.to.sql(dialect=Target))
    sample = exp.cast(exp.Null(), node.to.copy())
    text = exp.cast(node.this.copy(), "varchar")
    call = exp.Anonymous(this="standin.try_cast", expressions=[text, name, sample])
    return exp.Cast(this=call, to=node.to.copy())


def rewrite_cast_to_number(node: exp.Cast) -> None:
    """A decimal that is written is rounded, one that is read is cut."""
    leaves = [leaf for leaf in node.this.walk() if not list(leaf.iter_expressions())]
    is_written = all(
        leaf.is_number or (isinstance(leaf, exp.Identifier) and PLACEHOLDER.match(leaf.name))
        for leaf in leaves
    )
    number = numeric_types.of_data_type(node.to)
    arithmetic = (exp.Literal, exp.Column, exp.Identifier, exp.Paren, exp.Neg, exp.Binary)
    if number and is_written and all(isinstance(part, arithmetic) for part in node.this.walk()):
        digits = exp.Literal.number(number.scale)
        node.set("this", exp.Anonymous(this="standin.rounded", expressions=[node.this, digits]))


def typed_null(node: exp.Expr) -> exp.Expr | None:
    """Null of the same declared type: without an ELSE, PostgreSQL forgets length, precision and
    scale.
    """
    match node:
        case exp.Paren():
            return typed_null(node.this)
        case exp.Cast():
            return exp.Cast(this=exp.Null(), to=node.to.copy())
        case exp.Column() if not isinstance(node.this, exp.Star):
            return exp.Nullif(this=node.copy(), expression=node.copy())
        case exp.Case():
            default = node.args.get("default")
            # Only one that typed_null() made is null for certain.
            if isinstance(default, exp.Nullif) or (
                isinstance(default, exp.Cast) and isinstance(default.this, exp.Null)
            ):
                return default.copy()
    return None


def rewrite_average(node: exp.Avg) -> None:
    """AVG keeps its argument's type: sum and count, divided by a function that does."""
    window = node.parent if isinstance(node.parent, exp.Window) else None
    whole = window or node

    def of(kind: type[exp.Expr]) -> exp.Expr:
        inner = kind(this=node.this.copy())
        if window is None:
            return inner
        copied = window.copy()
        copied.set("this", inner)
        return copied

    values = [of(exp.Sum), of(exp.Count), of(exp.Max)]
    whole.replace(exp.Anonymous(this="standin.average", expressions=values))


def rewrite_ratio(node: exp.Window) -> None:
    """RATIO_TO_REPORT(x) OVER (...) is x over its sum in the window, as a double."""
    value = exp.cast(node.this.expressions[0].copy(), "double precision")
    total = node.copy()
    total.set("this", exp.Sum(this=value.copy()))
    zero = exp.Literal.number(0)
    node.replace(
        exp.Paren(this=exp.Div(this=value, expression=exp.Nullif(this=total, expression=zero)))
    )


def _unit_as_text(node: exp.Anonymous) -> exp.Expr:
    unit, *others = node.expressions
    if isinstance(unit, (exp.Column, exp.Var)):
        unit = exp.Literal.string(unit.name.lower())
    return exp.Anonymous(
        this=node.name.lower(), expressions=[unit.copy(), *(o.copy() for o in others)]
    )


def _renamed(name: str) -> Callable[[exp.Anonymous], exp.Expr]:
    return lambda node: exp.Anonymous(this=name, expressions=[e.copy() for e in node.expressions])


def _concatenated(node: exp.Anonymous) -> exp.Expr:
    """CONCAT takes two texts, and null is contagious."""
    if len(node.expressions) != 2:
        raise Refused("42883", "function concat() takes two arguments")
    first, second = (exp.cast(e.copy(), "varchar") for e in node.expressions)
    return exp.Paren(this=exp.DPipe(this=first, expression=second, safe=True))


REWRITTEN_CALLS: dict[str, Callable[[exp.Anonymous], exp.Expr]] = {
    "dateadd": _unit_as_text,
    "date_add": lambda node: _renamed("dateadd")(_as_call(_unit_as_text(node))),
    "datediff": _unit_as_text,
    "date_diff": lambda node: _renamed("datediff")(_as_call(_unit_as_text(node))),
    "date_part": lambda node: _part_of(node),  # noqa: PLW0108 - it is defined below
    "concat": _concatenated,
    "textlen": _renamed("length"),
    "pow": _renamed("power"),
    "any_value": _renamed("min"),
}


def _part_of(node: exp.Anonymous) -> exp.Expr:
    if len(node.expressions) != 2:
        raise Refused("42883", "function date_part() takes two arguments")
    unit, value = node.expressions
    return exp.Extract(this=exp.Var(this=unit.name.lower()), expression=value.copy())


def _as_call(node: exp.Expr) -> exp.Anonymous:
    assert isinstance(node, exp.Anonymous)
    return node
