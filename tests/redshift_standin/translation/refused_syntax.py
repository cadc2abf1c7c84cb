"""Refuses syntax that PostgreSQL accepts and Redshift refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from tests.redshift_standin.column_types import refuse_size
from tests.redshift_standin.refusals import Refused, syntax_error

# Words that are reserved in Redshift and not in PostgreSQL. As the name of a column they need
# quotes.
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

TYPES_UNKNOWN = {
    exp.DType.JSON: "json",
    exp.DType.JSONB: "jsonb",
    exp.DType.UUID: "uuid",
    exp.DType.INET: "inet",
    exp.DType.TINYINT: "tinyint",
    exp.DType.XML: "xml",
    exp.DType.MONEY: "money",
    exp.DType.ARRAY: "array",
}
SIZED = {exp.DType.DECIMAL: "decimal", exp.DType.VARCHAR: "varchar", exp.DType.CHAR: "bpchar"}
# The window functions that need a frame clause if they have an ORDER BY, as documented.
FRAMED = (
    exp.Avg,
    exp.Count,
    exp.Max,
    exp.Min,
    exp.Sum,
    exp.Stddev,
    exp.StddevPop,
    exp.StddevSamp,
    exp.Variance,
    exp.VariancePop,
    exp.LogicalAnd,
    exp.LogicalOr,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
)


def refuse_window(window: exp.Window) -> None:
    called = window.this
    if isinstance(called, (exp.IgnoreNulls, exp.RespectNulls)):
        called = called.this
    frame = window.args.get("spec")
    if isinstance(called, (exp.Lag, exp.Lead)) and not window.args.get("order"):
        raise Refused("42601", "LAG and LEAD need an ORDER BY clause")
    if isinstance(called, FRAMED) and window.args.get("order") and not frame:
        raise Refused(
            "0A000",
            "Aggregate window functions with an ORDER BY clause require a frame clause",
        )
    kind = str(frame.args.get("kind")).upper() if frame else "ROWS"
    if kind != "ROWS":
        raise Refused("0A000", f"window function with {kind} frame is not supported")
    if isinstance(called, (exp.Count, exp.Sum, exp.Avg)) and isinstance(called.this, exp.Distinct):
        raise Refused("0A000", "DISTINCT is not implemented for window functions")
    if frame and isinstance(
        called, (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.Ntile)
    ):
        raise syntax_error("rows")


LOOKAROUND = re.compile(r"\(\?(=|!|<=|<!|:)")


def refuse_pattern(pattern: exp.Expr) -> None:
    """Raise Refused for look-around and non-capturing groups, which POSIX patterns do not have."""
    if isinstance(pattern, exp.Literal) and LOOKAROUND.search(pattern.name):
        raise Refused(
            "XX000",
            "Invalid preceding regular expression prior to repetition operator.",
            f"The error occurred while parsing the regular expression '{pattern.name}'.",
        )


def refuse_pattern_of_call(call: exp.Anonymous) -> None:
    """Check the pattern of REGEXP_SUBSTR and similar calls.

    The parameter `p` as the last argument selects Perl's patterns, which are not checked.
    """
    if not call.name.lower().startswith("regexp_") or len(call.expressions) < 2:
        return
    _, pattern, *others = call.expressions
    is_perl = others and isinstance(others[-1], exp.Literal) and "p" in others[-1].name
    if not is_perl:
        refuse_pattern(pattern)


def refuse_pattern_of_operator(node: exp.RegexpLike | exp.RegexpILike) -> None:
    refuse_pattern(node.expression)


def refuse_recursion(clause: exp.With) -> None:
    if not clause.args.get("recursive"):
        return
    for cte in clause.expressions:
        name = cte.alias.lower()
        if not any(table.name.lower() == name for table in cte.this.find_all(exp.Table)):
            continue
        if not cte.alias_column_names:
            raise Refused("42601", f'recursive common table expression "{name}" names no columns')
        if not isinstance(cte.this, exp.Union) or cte.this.args.get("distinct"):
            raise Refused("42601", f'recursive common table expression "{name}" needs UNION ALL')


def refuse_rows(insert: exp.Insert) -> None:
    rows = insert.expression
    if isinstance(rows, exp.Values) and len(rows.expressions) > 1 and rows.find(exp.Select):
        raise Refused("0A000", "a subquery is not supported in a multi-row VALUES list")


ORDERED_SETS = (exp.GroupConcat, exp.PercentileCont, exp.PercentileDisc)


def refuse_select(select: exp.Select) -> None:
    own = [node for node in select.walk() if node.parent_select is select]
    if not select.args.get("from_") and any(
        isinstance(node, (exp.Median, *ORDERED_SETS)) for node in own
    ):
        raise Refused(
            "0A000", "LISTAGG, MEDIAN and PERCENTILE functions need a table that users made"
        )
    for kinds in ((exp.GroupConcat,), (exp.PercentileCont, exp.PercentileDisc)):
        orders = {
            node.expression.sql().lower()
            for node in own
            if isinstance(node, exp.WithinGroup)
            and isinstance(node.this, kinds)
            and not isinstance(node.parent, exp.Window)
        }
        if len(orders) > 1:
            raise Refused(
                "0A000", "within group ORDER BY clauses for aggregate functions must be the same"
            )
    # QUALIFY may directly follow FROM only if the last relation has an alias.
    clauses = ("where", "group", "having")
    if select.args.get("qualify") and not any(select.args.get(clause) for clause in clauses):
        joins = select.args.get("joins")
        last = joins[-1].this if joins else select.args["from_"].this
        if isinstance(last, exp.Table) and not last.alias:
            raise syntax_error("qualify")


def refuse_type(node: exp.DataType) -> None:
    kind = node.this
    if kind in TYPES_UNKNOWN:
        raise Refused("42704", f'type "{TYPES_UNKNOWN[kind]}" does not exist')
    sizes = [int(size.name) for size in node.expressions if size.name.isdigit()]
    if kind in SIZED and sizes:
        refuse_size(SIZED[kind], *sizes[:2])


def refuse_distinct(node: exp.Distinct) -> None:
    if node.args.get("on"):
        raise Refused("0A000", "SELECT DISTINCT ON is not supported")


def refuse_lock(_: exp.Lock) -> None:
    raise Refused("0A000", "SELECT FOR UPDATE/SHARE is not supported")


def refuse_values(node: exp.Values) -> None:
    if isinstance(node.parent, (exp.From, exp.Join, exp.Subquery)):
        raise syntax_error("values")


def refuse_array(node: exp.Array) -> None:
    if node.args.get("bracket_notation"):
        raise syntax_error("[")


def refuse_arrow(node: exp.JSONExtract) -> None:
    """Raise Refused for -> and ->>, which only PostgreSQL has.

    Redshift has the function json_extract_path_text() instead.
    """
    if node.args.get("only_json_types"):
        raise syntax_error("->")


def refuse_reserved_words(tree: exp.Expr) -> None:
    for column in tree.find_all(exp.Column, exp.TableAlias):
        name = column.this
        if (
            isinstance(name, exp.Identifier)
            and not name.quoted
            and name.name.lower() in RESERVED_WORDS
        ):
            raise syntax_error(name.name)


UNKNOWN_SYNTAX: dict[type[exp.Expr], str] = {
    exp.Fetch: "FETCH",
    exp.Filter: "FILTER",
    exp.Lateral: "LATERAL",
    exp.NullSafeEQ: "distinct",
    exp.NullSafeNEQ: "distinct",
    exp.OnConflict: "ON",
    exp.Returning: "RETURNING",
    exp.TableSample: "TABLESAMPLE",
}
CHECKS: dict[type[exp.Expr], Callable[[Any], None]] = {
    exp.Anonymous: refuse_pattern_of_call,
    exp.Array: refuse_array,
    exp.DataType: refuse_type,
    exp.Distinct: refuse_distinct,
    exp.Insert: refuse_rows,
    exp.JSONExtract: refuse_arrow,
    exp.Lock: refuse_lock,
    exp.RegexpILike: refuse_pattern_of_operator,
    exp.RegexpLike: refuse_pattern_of_operator,
    exp.Select: refuse_select,
    exp.Values: refuse_values,
    exp.Window: refuse_window,
    exp.With: refuse_recursion,
}


def refuse_syntax(tree: exp.Expr) -> None:
    """Raise Refused for the first node that Redshift does not accept."""
    for node in tree.walk():
        if type(node) in UNKNOWN_SYNTAX:
            raise syntax_error(UNKNOWN_SYNTAX[type(node)])
        check = CHECKS.get(type(node))
        if check:
            check(node)
    refuse_reserved_words(tree)
