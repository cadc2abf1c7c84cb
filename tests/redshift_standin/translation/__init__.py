"""SELECT and DML: Redshift's SQL as a tree, the views in it put in place, PostgreSQL's SQL out of
it.

sqlglot would translate Redshift's functions into what it thinks PostgreSQL's are. Here it only
parses: nearly every function goes through as it is written, and functions.sql gives it Redshift's
meaning. In the order in which a statement goes through them:

| file | is about |
|---|---|
| `parsing.py` | text to tree; which relations the tree names |
| `refused_syntax.py`, `refused_correlations.py`, `refused_functions.py` | what Redshift refuses |
| `views.py` | late-binding views in the place of their names |
| `lateral_aliases.py`, `numeric_types.py`, `rewriting.py` | what PostgreSQL has not, spelt out |
| `postgres.py` | tree to text |
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
    tree = in_place(parsed.tree.copy(), names.relations, external)
    lateral_aliases.apply(tree, names.columns)
    numeric_types.apply(tree, names.numbers)
    rewrite(tree)
    try:
        sql = tree.sql(dialect=Target, unsupported_level=ErrorLevel.RAISE, comments=False)
    except SqlglotError as error:
        raise unsupported_here(f"no translation: {error}") from None
    return Translated(PLACEHOLDER.sub(r"$\1", sql), external)
