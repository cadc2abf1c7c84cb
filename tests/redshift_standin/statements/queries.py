"""Rules for queries, cursors and changes of rows, which the package `translation` translates."""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import syntax_error
from tests.redshift_standin.sql_text import FLAGS, OUTSIDE_QUOTES
from tests.redshift_standin.statements.rules import Rules, Statement, as_is
from tests.redshift_standin.translation import parse

rules = Rules()

CATALOG_READ = re.compile(
    (
        r'\b(?:from|join)\s+(?:"?pg_catalog"?\s*\.\s*"?(?!svv_|sys_|stl_|svl_)|'
        r'"?information_schema"?\s*\.|"?pg_(?!table_def)\w+)'
    ),
    re.IGNORECASE,
)
ALL_COLUMNS = re.compile(rf"{OUTSIDE_QUOTES}|\b(insert)\s+values\b", FLAGS)
# The views of information_schema that the stand-in replaces, see catalog.sql.
REPLACED_VIEWS = ("columns", "tables", "views", "schemata")


@rules.add(r"(?:(?:select|with|values)\b|\().*", r"table\s+NAME")
def select(match: re.Match[str]) -> Statement:
    text = match[0]
    if CATALOG_READ.search(text):
        return as_is("SELECT", with_replaced_catalog(text))
    if text.lower().startswith(("values", "table")):
        raise syntax_error(text.split()[0])
    if re.match(r"select\b", text, re.IGNORECASE) and re.search(r"\binto\s", text, re.IGNORECASE):
        parsed = parse(text)
        if parsed.tree.args.get("into"):
            return Statement("CTAS", lambda body: body, parsed)
    return query("SELECT", text)


def with_replaced_catalog(text: str) -> str:
    """Let the query read the stand-in's views instead of PostgreSQL's catalogue.

    These views hide the relations of the stand-in and have the columns of Redshift.
    """
    text = re.sub(
        rf'"?information_schema"?\s*\.\s*"?({"|".join(REPLACED_VIEWS)})\b"?',
        lambda m: f"standin_catalog.is_{m[1].lower()}",
        text,
        flags=re.IGNORECASE,
    )
    return re.sub(
        (
            r'(\b(?:from|join)\s+)(?:"?pg_catalog"?\s*\.\s*)?"?(pg_attribute|pg_class|pg_views|'
            r'pg_namespace)\b"?'
        ),
        r"\1standin_catalog.\2",
        text,
        flags=re.IGNORECASE,
    )


@rules.add(r"(?P<kind>insert|update|delete|merge)\b.*")
def change(match: re.Match[str]) -> Statement:
    kind = match["kind"].upper()
    if kind != "MERGE":
        return query(kind, match[0])
    # An INSERT of MERGE may omit the column list, but sqlglot needs one. It gets a placeholder.
    text = ALL_COLUMNS.sub(
        lambda m: "insert (standin_all_columns) values" if m[1] else m[0], match[0]
    )
    return Statement(kind, lambda body: body.replace("(standin_all_columns) ", ""), parse(text))


def query(kind: str, text: str) -> Statement:
    return Statement(kind, lambda body: body, parse(text))


@rules.add(r"(?P<verb>declare\s+PART\s+cursor\s+for)\s+(?P<body>.*)")
def declare(match: re.Match[str]) -> Statement:
    return Statement("UTILITY", lambda sql: f"{match['verb']} {sql}", parse(match["body"]))


@rules.add(r"fetch\s+(?:forward\s+)?(?:next|all|\d+)\s+from\s+PART", r"close\s+PART")
def fetch(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match[0])
