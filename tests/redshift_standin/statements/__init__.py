"""What a statement is and what PostgreSQL is told instead. What no rule fits is a syntax error.

| file | statements |
|---|---|
| `queries.py` | SELECT, INSERT, UPDATE, DELETE, MERGE, cursors |
| `tables.py`, `table_definitions.py` | CREATE, ALTER, DROP, TRUNCATE, VACUUM, ANALYZE |
| `views.py` | views: bound, late-binding, materialized |
| `external_tables.py` | what is handed to the package `spectrum` |
| `users.py` | schemas, users, groups, privileges |
| `sessions.py` | transactions, settings, SHOW |
| `rules.py` | none: it says how the rule for one is written |
"""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import syntax_error
from tests.redshift_standin.sql_text import FLAGS, OUTSIDE_QUOTES, without_remarks
from tests.redshift_standin.statements import (
    external_tables,
    queries,
    sessions,
    tables,
    users,
    views,
)
from tests.redshift_standin.statements.rules import NOTHING, ExternalCommand, Rules, Statement

__all__ = ["NOTHING", "ExternalCommand", "Statement", "classify"]

rules = Rules(
    [
        *queries.rules,
        # Before tables: ADD IF NOT EXISTS PARTITION looks like a new column.
        *external_tables.rules,
        *tables.rules,
        *views.rules,
        *users.rules,
        *sessions.rules,
    ]
)
HASHED_NAME = re.compile(
    rf"{OUTSIDE_QUOTES}|(\b(?:from|join|into|table|update|exists|using|only|truncate)\s+)#(\w+)",
    FLAGS,
)


def classify(sql: str) -> Statement:
    """The rule for one statement; raises Refused."""
    text = without_remarks(sql).rstrip(";").strip()
    # Temporary tables may bear a hash, which PostgreSQL takes in quotes alone.
    text = HASHED_NAME.sub(lambda m: f'{m[1]}"#{m[2]}"' if m[2] else m[0], text)
    for pattern, rule in rules:
        match = pattern.match(text)
        if match:
            return rule(match)
    raise syntax_error(text.split(maxsplit=1)[0] if text else "end of input")


@rules.add(r"explain\s+(?:verbose\s+)?(?P<query>(?:select|with|insert|update|delete|create|\().*)")
def explain(match: re.Match[str]) -> Statement:
    inner = classify(match["query"])
    return Statement("UTILITY", lambda body: f"explain {inner.wrap(body)}", inner.body)
