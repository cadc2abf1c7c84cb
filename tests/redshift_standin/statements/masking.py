"""Rules for dynamic data masking: CREATE, ALTER, DROP, ATTACH and DETACH MASKING POLICY."""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import Refused, syntax_error, unsupported_here
from tests.redshift_standin.sql_text import (
    FLAGS,
    PART,
    closing_parenthesis,
    dollar_quoted,
    folded,
    parts_of,
    split_list,
    unwrapped,
)
from tests.redshift_standin.statements.rules import Rules, Statement
from tests.redshift_standin.statements.table_definitions import column_definition
from tests.redshift_standin.translation import parse, tables_in

rules = Rules()

GRANTEE = r"(?P<grantee>public|role\s+PART|PART)"


def _call(function: str, *arguments: str, tag: str) -> Statement:
    sql = (
        f"do $standin_masking$ begin perform standin.{function}({', '.join(arguments)}); "
        "end $standin_masking$"
    )
    return Statement("DDL", lambda _: sql, tag=tag)


@rules.add(r"create\s+masking\s+policy\s+(?P<name>PART)\s+with\s*(?P<rest>\(.*)")
def create_policy(match: re.Match[str]) -> Statement:
    rest = match["rest"]
    end = closing_parenthesis(rest, 0)
    using = re.match(r"\s*using\s*(\(.*\))$", rest[end + 1 :].strip(), FLAGS)
    if not using:
        raise syntax_error(rest[end + 1 :].strip() or "end of input")
    inputs = [str(column_definition(item, {})) for item in split_list(rest[1:end])]
    if len(inputs) != 1:
        raise unsupported_here("a masking policy with several inputs")
    expression = unwrapped(using[1])
    body = parse(f"select {expression}")
    if list(tables_in(body.tree)):
        raise unsupported_here("a masking policy with a lookup table")
    name, kind = inputs[0].split(maxsplit=1)

    def wrap(sql: str) -> str:
        probe = f"{sql} as masked from (select null::{kind} as {name}) as masked_table"
        arguments = ", ".join(
            dollar_quoted(text)
            for text in (parts_of(match["name"])[0], name, kind, expression, probe)
        )
        return (
            "do $standin_masking$ begin perform "
            f"standin.create_masking_policy({arguments}); end $standin_masking$"
        )

    return Statement("DDL", wrap, body, tag="CREATE MASKING POLICY")


@rules.add(r"alter\s+masking\s+policy\b.*")
def alter_policy(_: re.Match[str]) -> Statement:
    raise unsupported_here("ALTER MASKING POLICY")


@rules.add(r"drop\s+masking\s+policy\s+(?P<name>PART)")
def drop_policy(match: re.Match[str]) -> Statement:
    name = dollar_quoted(parts_of(match["name"])[0])
    return _call("drop_masking_policy", name, tag="DROP MASKING POLICY")


@rules.add(
    rf"attach\s+masking\s+policy\s+(?P<policy>PART)\s+on\s+(?P<table>NAME)\s*\((?P<columns>[^()]*)\)"
    rf"(?P<using>\s*using\s*\([^()]*\))?\s*to\s+{GRANTEE}(?:\s+priority\s+(?P<priority>\d+))?"
)
def attach_policy(match: re.Match[str]) -> Statement:
    if match["using"]:
        raise unsupported_here("ATTACH MASKING POLICY with USING")
    return _call(
        "attach_masking_policy",
        *_attachment(match),
        match["priority"] or "0",
        tag="ATTACH MASKING POLICY",
    )


@rules.add(
    rf"detach\s+masking\s+policy\s+(?P<policy>PART)\s+on\s+(?P<table>NAME)\s*\((?P<columns>[^()]*)\)"
    rf"\s*from\s+{GRANTEE}"
)
def detach_policy(match: re.Match[str]) -> Statement:
    return _call("detach_masking_policy", *_attachment(match), tag="DETACH MASKING POLICY")


def _attachment(match: re.Match[str]) -> tuple[str, ...]:
    """Return the arguments policy, table, column and grantee; the grantee is empty for PUBLIC."""
    columns = split_list(match["columns"])
    if len(columns) != 1 or not re.fullmatch(PART, columns[0]):
        raise unsupported_here("a masking policy on several columns or on a path")
    grantee = re.sub(r"^role\s+", "", match["grantee"], flags=re.IGNORECASE)
    if re.match(r"group\b", match["grantee"], re.IGNORECASE):
        raise Refused("42601", f'syntax error at or near "{match["grantee"]}"')
    public = match["grantee"].lower() == "public"
    return tuple(
        dollar_quoted(text)
        for text in (
            parts_of(match["policy"])[0],
            folded(match["table"]),
            parts_of(columns[0])[0],
            "" if public else parts_of(grantee)[0],
        )
    )
