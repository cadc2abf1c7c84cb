"""Rules for tables: CREATE, ALTER, DROP, TRUNCATE, VACUUM, ANALYZE, COMMENT and LOCK."""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import Refused, syntax_error, unsupported_here
from tests.redshift_standin.sql_text import (
    FLAGS,
    NAME,
    PART,
    closing_parenthesis,
    folded,
    parts_of,
    quoted,
    split_list,
    unwrapped,
)
from tests.redshift_standin.statements.rules import (
    ExternalCommand,
    Rules,
    Statement,
    as_is,
    not_in_transaction,
    nothing,
)
from tests.redshift_standin.statements.table_definitions import (
    attributes_comment,
    column_definition,
    table_attributes,
)
from tests.redshift_standin.translation import parse

rules = Rules()


@rules.add(
    r"create\s+(?P<temp>(?:local\s+)?temp(?:orary)?\s+)?table\s+(?P<exists>if\s+not\s+exists\s+)?"
    r"(?P<name>NAME)(?P<rest>\s*\(.*|\s.*)"
)
def create_table(match: re.Match[str]) -> Statement:
    rest = match["rest"].strip()
    is_temp = bool(match["temp"]) or match["name"].startswith('"#')
    start = (
        f"create {'temp ' if is_temp else ''}table {match['exists'] or ''}{folded(match['name'])}"
    )
    columns, after = None, rest
    if rest.startswith("("):
        end = closing_parenthesis(rest, 0)
        columns, after = rest[1:end].strip(), rest[end + 1 :]
        like = re.match(rf"like\s+({NAME})(\s+including\s+defaults)?\s*$", columns, FLAGS)
        if like:
            return Statement("DDL", lambda _: f"{start} (like {folded(like[1])}{like[2] or ''})")
    with_query = re.match(r"(.*?)\bas\b(.*)$", after, FLAGS)
    if columns is None and not with_query:
        raise syntax_error(rest.split()[0])
    left, attributes = table_attributes(with_query[1] if with_query else after)
    if left.strip():
        raise syntax_error(left.split()[0])
    items = split_list(columns or "")
    if with_query:
        names = ", ".join(quoted(parts_of(item)[0]) for item in items)
        start += f" ({names})" if columns is not None else ""
        body = parse(unwrapped(with_query[2]))
        return Statement(
            "CTAS", lambda sql: f"{attributes_comment(attributes)}{start} as {sql}", body
        )
    definitions = [column_definition(item, attributes) for item in items]
    listed = ", ".join(definition for definition in definitions if definition)
    return Statement("DDL", lambda _: f"{attributes_comment(attributes)}{start} ({listed})")


@rules.add(
    r"drop\s+(?P<what>table|view|"
    r"materialized\s+view)\s+(?P<exists>if\s+exists\s+)?(?P<names>NAME(?:\s*,\s*NAME)*)"
    r"\s*(?P<cascade>cascade|restrict)?"
)
def drop(match: re.Match[str]) -> Statement:
    names = ", ".join(folded(name) for name in split_list(match["names"]))
    sql = f"drop {match['what']} {match['exists'] or ''}{names} {match['cascade'] or ''}"
    command = ExternalCommand(
        "drop_table",
        {"name": match["names"]},
        not_in_transaction("DROP EXTERNAL TABLE"),
    )
    is_one = match["what"].lower() == "table" and "," not in names
    return Statement(
        "DDL",
        lambda _: sql,
        target=names if is_one else None,
        external_target=command if is_one else None,
    )


@rules.add(r"truncate\s+(?:table\s+)?(?P<name>NAME)")
def truncate(match: re.Match[str]) -> Statement:
    return Statement(
        "DDL",
        lambda _: f"truncate table {folded(match['name'])}",
        tag="TRUNCATE TABLE",
        commits=True,
    )


@rules.add(
    r"alter\s+table\s+(?P<name>NAME)\s+alter\s+(?:diststyle|distkey|sortkey|"
    r"compound\s+sortkey|encode)\b.*"
)
def alter_keys(match: re.Match[str]) -> Statement:
    # Distribution and sort keys do not change a result. A statement without effect is sent all the
    # same, so that PostgreSQL checks that the table exists and that the user owns it.
    name = folded(match["name"])
    return Statement(
        "DDL", lambda _: f"alter table {name} set (fillfactor = 100)", tag="ALTER TABLE"
    )


@rules.add(
    r"alter\s+table\s+(?P<name>NAME)\s+(?P<action>add|"
    r"drop)\s+(?:column\s+)?(?P<column>(?!constraint\b|partition\b|primary\b|unique\b|"
    r"foreign\b|check\b).*)"
)
def alter_columns(match: re.Match[str]) -> Statement:
    name, adds = folded(match["name"]), match["action"].lower() == "add"
    if not adds:
        dropped = re.match(rf"({PART})(\s+cascade|\s+restrict)?$", match["column"].strip(), FLAGS)
        if not dropped:
            raise syntax_error(match["column"])
        what = f"drop column {folded(dropped[1])}{dropped[2] or ''}"
    else:
        if len(split_list(match["column"])) > 1:
            raise syntax_error(",")
        what = "add column " + str(column_definition(match["column"].strip(), {}))
    command = ExternalCommand(
        "alter_columns", match.groupdict(), not_in_transaction("ALTER EXTERNAL TABLE")
    )
    return Statement(
        "DDL",
        lambda _: f"alter table {name} {what}",
        tag="ALTER TABLE",
        target=name,
        external_target=command,
    )


@rules.add(
    r"alter\s+table\s+(?P<name>NAME)\s+(?P<rest>rename\s+(?:column\s+)?PART\s+to\s+PART|"
    r"rename\s+to\s+PART|owner\s+to\s+PART|"
    r"add\s+(?:constraint\s+PART\s+)?(?:primary\s+key|unique|foreign\s+key)\s*\(.*|"
    r"drop\s+constraint\s+.*)",
    r"alter\s+table\s+(?P<name>NAME)\s+alter\s+column\s+(?P<rest>PART\s+type\s+.*)",
    r"alter\s+(?:materialized\s+)?view\s+(?P<name>NAME)\s+(?P<rest>(?:owner|rename)\s+to\s+PART)",
)
def alter_table(match: re.Match[str]) -> Statement:
    name, rest = folded(match["name"]), match["rest"].strip()
    if re.match(r"(add|drop)\b", rest, re.IGNORECASE):
        return nothing("DDL", "ALTER TABLE")
    rest = re.sub(PART, lambda m: m[0].lower(), rest)
    retyped = re.match(rf"({PART})\s+type\s+varchar\s*\(\s*(\d+|max)\s*\)$", rest, FLAGS)
    if re.match(rf"{PART}\s+type\b", rest, FLAGS):
        if not retyped:
            raise Refused(
                "0A000", "ALTER COLUMN TYPE only supports changing the size of VARCHAR columns"
            )
        rest = (
            f"alter column {retyped[1]} type "
            f"varchar({'65535' if retyped[2] == 'max' else retyped[2]})"
        )
    return Statement("DDL", lambda _: f"alter table {name} {rest}", tag="ALTER TABLE")


@rules.add(r"alter\s+table\s+NAME\s+append\s+from\s+.*")
def alter_append(_: re.Match[str]) -> Statement:
    raise unsupported_here("ALTER TABLE APPEND")


@rules.add(r"create\s+(?:unique\s+)?index\b.*")
def create_index(_: re.Match[str]) -> Statement:
    raise Refused("0A000", 'SQL command "CREATE INDEX" not supported on Redshift tables.')


@rules.add(r"comment\s+on\s+(?:table|column|view|database|constraint|schema)\s+.*")
def comment(match: re.Match[str]) -> Statement:
    return as_is("DDL", match[0])


@rules.add(r"analyze\s+compression\b.*", r"vacuum\b.*", r"analyze\b.*")
def maintenance(match: re.Match[str]) -> Statement:
    verb = match[0].split()[0].upper()
    refused = not_in_transaction(verb) if verb == "VACUUM" else None
    return nothing("UTILITY", verb, refused_in_transaction=refused)


@rules.add(r"lock\s+(?:table\s+)?(?P<names>NAME(?:\s*,\s*NAME)*)")
def lock(match: re.Match[str]) -> Statement:
    names = ", ".join(folded(name) for name in split_list(match["names"]))
    return Statement("UTILITY", lambda _: f"lock table {names}")
