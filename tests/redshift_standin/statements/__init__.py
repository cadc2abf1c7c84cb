"""Finds the rule for a statement. The rule turns it into a statement for PostgreSQL.

A statement that no rule matches is refused with a syntax error.

| file | statements |
|---|---|
| `queries.py` | SELECT, INSERT, UPDATE, DELETE, MERGE, cursors |
| `tables.py`, `table_definitions.py` | CREATE, ALTER, DROP, TRUNCATE, VACUUM, ANALYZE |
| `views.py` | views: bound, late-binding, materialized |
| `external_tables.py` | external DDL, which the package `spectrum` runs |
| `users.py` | schemas, users, groups, privileges |
| `masking.py` | policies of dynamic data masking, and their attachments |
| `sessions.py` | transactions, settings, SHOW |
| `rules.py` | none; it holds the classes and functions with which the rules are written |
"""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import syntax_error
from tests.redshift_standin.sql_text import FLAGS, OUTSIDE_QUOTES, without_comments
from tests.redshift_standin.statements import (
    external_tables,
    masking,
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
        # They come before those of tables, because ADD IF NOT EXISTS PARTITION also matches the
        # rule for a new column.
        *external_tables.rules,
        *tables.rules,
        *views.rules,
        *masking.rules,
        *users.rules,
        *sessions.rules,
    ]
)
HASHED_NAME = re.compile(
    rf"{OUTSIDE_QUOTES}|(\b(?:from|join|into|table|update|exists|using|only|truncate)\s+)#(\w+)",
    FLAGS,
)


def classify(sql: str) -> Statement:
    """Apply the first rule that matches the statement; raises Refused."""
    text = without_comments(sql).rstrip(";").strip()
    # The name of a temporary table may start with #, which PostgreSQL accepts only in quotes.
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
