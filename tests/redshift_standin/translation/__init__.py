"""Translates SELECT and DML: Redshift's SQL is parsed to a tree and written as PostgreSQL's SQL.

sqlglot can translate Redshift's functions to similar functions of PostgreSQL, which do not always
give the same results. Therefore sqlglot only parses here. Nearly every function call stays as it is
written, and functions.sql defines the function with Redshift's result.

A statement passes these modules in this order:

| file | what it does |
|---|---|
| `parsing.py` | parses the text to a tree, and lists the relations that the tree names |
| `refused_syntax.py`, `refused_correlations.py` | refuse syntax and subqueries |
| `refused_functions.py` | refuses functions that Redshift does not have |
| `views.py` | replaces the name of a late-binding view or of a masked relation by a query |
| `lateral_aliases.py`, `numeric_types.py`, `rewriting.py` | rewrite what PostgreSQL does not have |
| `postgres.py` | writes the tree as text |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError

from tests.redshift_standin.refusals import unsupported_here
from tests.redshift_standin.translation import lateral_aliases, numeric_types
from tests.redshift_standin.translation.parsing import (
    PLACEHOLDER,
    Parsed,
    name_of,
    parse,
    tables_in,
)
from tests.redshift_standin.translation.postgres import Target
from tests.redshift_standin.translation.refused_functions import refuse_functions
from tests.redshift_standin.translation.rewriting import rewrite
from tests.redshift_standin.translation.views import Names, Relation, in_place

__all__ = [
    "Names",
    "Parsed",
    "Relation",
    "Translated",
    "name_of",
    "parse",
    "tables_in",
    "translate",
]


@dataclass
class Translated:
    """PostgreSQL's statement, the ids of the external tables in it, and the query for EXPLAIN."""

    sql: str
    external_tables: set[int] = field(default_factory=set)
    query: str = ""


SYSTEM_RELATION = re.compile(
    r"^(pg_|svv_|svl_|stl_|stv_|sys_|svcs_|information_schema)", re.IGNORECASE
)


def reads_user_tables(tree: exp.Expr) -> bool:
    return any(not SYSTEM_RELATION.match(table.db or table.name) for table in tables_in(tree))


def translate(parsed: Parsed, names: Names) -> Translated:
    """Return PostgreSQL's text of a statement whose names are resolved; raises Refused.

    A client first prepares a statement and then runs it, so the last translation is kept with the
    parsed statement. It is used again if the names stand for the same relations.
    """
    if not parsed.last or parsed.last[0] != names:
        parsed.last[:] = names, _translate(parsed, names)
    found: Translated = parsed.last[1]
    return found


def _translate(parsed: Parsed, names: Names) -> Translated:
    refuse_functions(parsed.tokens, reads_user_tables(parsed.tree))
    external: set[int] = set()
    tree = in_place(parsed.tree.copy(), names, external)
    lateral_aliases.apply(tree, names.columns)
    numeric_types.apply(tree, names.numbers)
    rewrite(tree)
    try:
        sql = tree.sql(
            dialect=Target, copy=False, unsupported_level=ErrorLevel.RAISE, comments=False
        )
    except SqlglotError as error:
        raise unsupported_here(f"this statement: {error}") from None
    return Translated(PLACEHOLDER.sub(r"$\1", sql), external)
