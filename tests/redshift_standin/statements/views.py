"""Rules for bound, late-binding and materialized views."""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import Refused
from tests.redshift_standin.sql_text import FLAGS, dollar_quoted, folded, unwrapped
from tests.redshift_standin.statements.rules import Rules, Statement
from tests.redshift_standin.translation import parse, tables_in

rules = Rules()


@rules.add(
    r"create\s+(?P<replace>or\s+replace\s+)?view\s+(?P<name>NAME)\s*(?P<columns>\([^)]*\)\s*)?as\s+(?P<body>.*)"
)
def create_view(match: re.Match[str]) -> Statement:
    text = match["body"].strip()
    late = re.search(r"\s+with\s+no\s+schema\s+binding$", text, FLAGS)
    name, replaces = folded(match["name"]), bool(match["replace"])
    if not late:
        body = parse(unwrapped(text))
        start = f"create {'or replace ' if replaces else ''}view {name} {match['columns'] or ''}as "
        return Statement("DDL", lambda sql: start + sql, body, tag="CREATE VIEW")
    source = unwrapped(text[: late.start()])
    body = parse(source)
    for table in tables_in(body.tree):
        if not table.db:
            raise Refused(
                "42601",
                (
                    "All the relation names inside should be qualified when creating VIEW WITH NO "
                    "SCHEMA BINDING."
                ),
            )

    def wrap(sql: str) -> str:
        return (
            "do $standin_view$ begin perform standin.create_late_binding_view("
            f"{dollar_quoted(name)}, {dollar_quoted(source)}, {dollar_quoted(sql)}, {replaces}); "
            "end $standin_view$"
        )

    return Statement("DDL", wrap, body, tag="CREATE VIEW")


@rules.add(r"create\s+materialized\s+view\s+(?P<name>NAME)(?P<attributes>.*?)\bas\b(?P<body>.*)")
def create_materialized_view(match: re.Match[str]) -> Statement:
    refreshes = bool(re.search(r"auto\s+refresh\s+yes", match["attributes"], FLAGS))
    source = unwrapped(match["body"])

    def wrap(sql: str) -> str:
        return (
            "do $standin_view$ begin perform standin.create_materialized_view("
            f"{dollar_quoted(folded(match['name']))}, {dollar_quoted(sql)}, "
            f"{dollar_quoted(source)}, {refreshes}); "
            "end $standin_view$"
        )

    return Statement("DDL", wrap, parse(source), tag="CREATE MATERIALIZED VIEW")


@rules.add(r"refresh\s+materialized\s+view\s+(?P<name>NAME)(?:\s+(?:cascade|restrict))?")
def refresh(match: re.Match[str]) -> Statement:
    return Statement("UTILITY", lambda _: f"refresh materialized view {folded(match['name'])}")
