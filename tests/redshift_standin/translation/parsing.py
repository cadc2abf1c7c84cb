"""Parses Redshift's SQL to a tree, and lists the relations that the tree names.

Most function calls become anonymous nodes, so that sqlglot does not translate them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.redshift import RedshiftParser
from sqlglot.tokenizer_core import Token

from tests.redshift_standin.refusals import Refused, syntax_error
from tests.redshift_standin.sql_text import OUTSIDE_QUOTES, quoted
from tests.redshift_standin.translation.refused_correlations import refuse_correlations
from tests.redshift_standin.translation.refused_syntax import refuse_syntax

# The functions for which the rules need sqlglot's own node types. Every other call is an anonymous
# node with the name as it is written.
TYPED_FUNCTIONS = """
    AVG COUNT MAX MIN SUM STDDEV STDDEV_POP STDDEV_SAMP VARIANCE VAR_POP VAR_SAMP
    VARIANCE_POP BOOL_AND BOOL_OR LOGICAL_AND LOGICAL_OR FIRST_VALUE LAST_VALUE NTH_VALUE
    LAG LEAD ROW_NUMBER RANK DENSE_RANK NTILE LISTAGG MEDIAN PERCENTILE_CONT PERCENTILE_DISC
    COALESCE NVL NVL2 NULLIF
    """.split()  # noqa: SIM905
# Functions whose arguments have a syntax of their own.
PARSED_FUNCTIONS = "CAST CONVERT DECODE EXTRACT POSITION SUBSTRING TRIM TRY_CAST".split()  # noqa: SIM905


class Source(Redshift):
    """The dialect of Redshift, with most function calls as anonymous nodes."""

    class Parser(RedshiftParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {
            name: RedshiftParser.FUNCTIONS[name] for name in TYPED_FUNCTIONS
        }
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: RedshiftParser.FUNCTION_PARSERS[name] for name in PARSED_FUNCTIONS
        }


# sqlglot reads `$1 ... $2` as one dollar-quoted text, so parameters are replaced before parsing.
PARAMETER = re.compile(rf"{OUTSIDE_QUOTES}|\$(\d+)", re.DOTALL)
PLACEHOLDER = re.compile(r"\bstandin_parameter_(\d+)\b")


@dataclass(frozen=True)
class Parsed:
    """The tree of a statement, its tokens, and its last translation with the names of that time."""

    tree: exp.Expr
    tokens: list[Token] = field(compare=False)
    last: list[Any] = field(default_factory=list, compare=False, repr=False)


@lru_cache(maxsize=2048)
def _parse(sql: str) -> Parsed:
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
    refuse_syntax(tree)
    refuse_correlations(tree)
    return Parsed(tree, tokens)


def parse(sql: str) -> Parsed:
    """Parse one statement; raises Refused. The tree is cached, so a caller changes only a copy."""
    return _parse(sql.strip().rstrip(";"))


def tables_in(tree: exp.Expr) -> Iterator[exp.Table]:
    """Yield the references to relations, without those to common table expressions."""
    names = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or table.name.lower() not in names):
            yield table


def name_of(table: exp.Table) -> str:
    """Return the folded name of a table: `"schema"."table"` in lower case and quoted."""
    return ".".join(quoted(part.name.lower()) for part in table.parts)
