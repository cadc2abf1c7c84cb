"""Writes a statement's text for PostgreSQL, after PostgreSQL has resolved the names in it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.sql_text import OUTSIDE_QUOTES, literal
from tests.redshift_standin.statements import Statement
from tests.redshift_standin.translation import (
    Names,
    Parsed,
    Relation,
    Translated,
    name_of,
    parse,
    tables_in,
    translate,
)
from tests.redshift_standin.translation.numeric_types import of_postgres

RunQuery = Callable[[str], Awaitable[list[list[str | None]]]]
"""Runs a query in the client's own transaction and returns its rows."""


async def translated(statement: Statement, run_query: RunQuery) -> Translated:
    """Return a statement's text for PostgreSQL; raises Refused."""
    if statement.body is None:
        return Translated(statement.wrap(""))
    names = await _resolve(statement.body, run_query)
    found = translate(statement.body, names)
    if found.external_tables and found.sql and statement.tag == "CREATE VIEW":
        is_late = "create_late_binding_view" in statement.wrap("")
        if not is_late:
            raise Refused("0A000", "External tables are not supported in views")
    return Translated(statement.wrap(found.sql), found.external_tables, found.sql)


async def _resolve(parsed: Parsed, run_query: RunQuery) -> Names:
    """Resolve the names in a statement, and those in the late-binding views that it reads."""
    found = Names()
    resolved: set[tuple[str, str]] = set()
    # Each name has a reader, with whose rights the relation is read. In a view this is the view's
    # owner. In the statement itself it is the session's user, written as an empty text.
    names = {("", name_of(table)) for table in tables_in(parsed.tree)}
    while left := names - resolved:
        reader = min(left)[0]
        listed = sorted(name for by, name in left if by == reader)
        resolved |= {(reader, name) for name in listed}
        texts = ",".join(map(literal, listed))
        rows = await run_query(
            "select name, kind, body, is_allowed, relation, owner from "
            f"standin.resolve(array[{texts}], {literal(reader)})"
        )
        for name, kind, body, is_allowed, relation, owner in rows:
            if kind == "columns":
                columns: dict[str, str] = json.loads(str(body))
                types = {c: of_postgres(t) for c, t in columns.items()}
                found.columns[str(name)] = set(columns)
                found.numbers[str(name)] = {c: n for c, n in types.items() if n}
                continue
            if kind == "masked":
                found.masked[str(name)] = str(body)
                continue
            found.relations[reader, str(name)] = Relation(
                str(kind), str(body), is_allowed == "t", str(relation), str(owner or "")
            )
            if kind == "view":
                names |= {
                    (str(owner), name_of(table)) for table in tables_in(parse(str(body)).tree)
                }
    return found


def with_parameters(sql: str, values: Sequence[str | None]) -> str:
    """Return a query with the values in the place of its parameters, for EXPLAIN."""

    def given(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0]
        value = values[int(match[1]) - 1] if int(match[1]) <= len(values) else None
        # With a subquery in the place of an unknown value, the planner prunes no partition.
        return value if value is not None else "(select null)"

    return re.sub(rf"{OUTSIDE_QUOTES}|\$(\d+)", given, sql, flags=re.DOTALL)
