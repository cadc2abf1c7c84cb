"""Rules for schemas, users, groups, roles and privileges."""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import Refused, syntax_error, unsupported_here
from tests.redshift_standin.sql_text import (
    FLAGS,
    NAME,
    OUTSIDE_QUOTES,
    PART,
    dollar_quoted,
    folded,
    parts_of,
    quoted,
    split_list,
    with_escape_literals,
)
from tests.redshift_standin.statements.rules import (
    ExternalCommand,
    Rules,
    Statement,
    as_is,
    nothing,
)

rules = Rules()

PASSWORD = re.compile(r"\bpassword\s+(disable|'(?:[^']|'')*')", re.IGNORECASE)
# Redshift's options of a user, each with PostgreSQL's. None means that PostgreSQL has the same
# option, and an empty text means that it has no such option.
OPTIONS = (
    (r"\bnocreateuser\b", "nosuperuser"),
    (r"\bcreateuser\b", "superuser"),
    (r"\bnocreatedb\b", "nocreatedb"),
    (r"\bcreatedb\b", "createdb"),
    (r"\bvalid\s+until\s+'[^']*'", None),
    (r"\bconnection\s+limit\s+(?:\d+|unlimited)", None),
    (r"\bsession\s+timeout\s+\d+", ""),
    (r"\bsyslog\s+access\s+(?:restricted|unrestricted)", ""),
)


@rules.add(
    r"create\s+schema\s+(?P<exists>if\s+not\s+exists\s+)?(?:PART\s*\.\s*)?(?P<name>PART)(?P<owner>\s+authorization\s+PART)?(?:\s+quota\s+.*)?"
)
def create_schema(match: re.Match[str]) -> Statement:
    owner = (match["owner"] or "").lower()
    sql = f"create schema {match['exists'] or ''}{folded(match['name'])}{owner}"
    return Statement("DDL", lambda _: sql)


@rules.add(
    r"drop\s+schema\s+(?P<exists>if\s+exists\s+)?(?P<names>NAME(?:\s*,\s*NAME)*)\s*(?:drop\s+external\s+database\s*)?(?P<cascade>cascade|restrict)?"
)
def drop_schema(match: re.Match[str]) -> Statement:
    names = [parts_of(name)[-1] for name in split_list(match["names"])]
    sql = (
        f"drop schema {match['exists'] or ''}{', '.join(map(quoted, names))} "
        f"{match['cascade'] or ''}"
    )
    command = ExternalCommand("drop_schema", {"names": names})
    return Statement("DDL", lambda _: sql, target="schema:" + names[0], external_target=command)


@rules.add(
    r"alter\s+schema\s+(?P<name>PART)\s+(?P<rest>(?:owner|rename)\s+to\s+PART)",
    r"alter\s+schema\s+(?P<name>PART)\s+(?P<rest>quota\s+.*)",
)
def alter_schema(match: re.Match[str]) -> Statement:
    if match["rest"].lower().startswith("quota"):
        return nothing("DDL", "ALTER SCHEMA")
    return Statement(
        "DDL", lambda _: f"alter schema {folded(match['name'])} {match['rest'].lower()}"
    )


@rules.add(r"(?P<verb>create|alter)\s+user\s+(?P<name>PART)(?P<rest>.*)")
def user(match: re.Match[str]) -> Statement:
    rest, name = match["rest"], folded(match["name"])
    if re.search(r"\brename\s+to\b|\b(re)?set\b", rest, re.IGNORECASE):
        rest = re.sub(
            r"\bset\s+(query_group|enable_numeric_rounding)\b",
            r"set standin.\1",
            rest,
            flags=FLAGS,
        )
        return Statement(
            "DDL", lambda _: f"alter role {name} {with_escape_literals(rest)}", tag="ALTER USER"
        )
    password = PASSWORD.search(rest)
    creates = match["verb"].lower() == "create"
    if creates and not password:
        raise syntax_error("end of input")
    login = "login " if creates else ""
    sql = f"{match['verb']} role {name} {login}{' '.join(_options(rest, password))}"
    return Statement("DDL", lambda _: sql, tag=f"{match['verb'].upper()} USER")


def _options(rest: str, password: re.Match[str] | None) -> list[str]:
    """Return PostgreSQL's options of a role; raises Refused for an unknown option."""
    options = []
    if password and password[1].lower() == "disable":
        options.append("password null")
    elif password:
        _check_password(password[1][1:-1])
        options.append(f"password {password[1]}")
    rest = PASSWORD.sub(" ", rest)
    for written, meant in OPTIONS:
        found = re.search(written, rest, re.IGNORECASE)
        if found:
            options.append((found[0] if meant is None else meant).replace("unlimited", "-1"))
            rest = rest[: found.start()] + " " + rest[found.end() :]
    groups = re.search(rf"\bin\s+group\s+({PART}(?:\s*,\s*{PART})*)", rest, re.IGNORECASE)
    if groups:
        options.append("in role " + ", ".join(folded(group) for group in split_list(groups[1])))
        rest = rest.replace(groups[0], " ")
    rest = re.sub(r"\bwith\b", " ", rest, flags=re.IGNORECASE).strip()
    if rest:
        raise syntax_error(rest.split()[0])
    return options


def _check_password(password: str) -> None:
    if re.match(r"(md5[0-9a-f]{32}|sha256\|)", password):
        raise unsupported_here("a hashed password")
    if not (
        8 <= len(password) <= 64
        and re.search("[a-z]", password)
        and re.search("[A-Z]", password)
        and re.search("[0-9]", password)
        and not re.search(r"['\"\\/@ ]", password)
    ):
        raise Refused(
            "42601",
            "The password must be 8 to 64 characters in length, and must contain at least one "
            "uppercase letter, one lowercase letter, and one number.",
        )


@rules.add(r"create\s+group\s+(?P<name>PART)(?:\s+with\s+user\s+(?P<users>.*))?")
def create_group(match: re.Match[str]) -> Statement:
    name = folded(match["name"])
    users = "".join(f"grant {name} to {folded(u)}; " for u in split_list(match["users"] or ""))
    plain = dollar_quoted(parts_of(match["name"])[0])
    return Statement(
        "DDL",
        lambda _: (
            f"do $standin$ begin create role {name} nologin; {users}"
            f"insert into standin.user_groups values ({plain}); end $standin$"
        ),
        tag="CREATE GROUP",
    )


@rules.add(r"alter\s+group\s+(?P<name>PART)\s+(?P<verb>add|drop)\s+user\s+(?P<users>.*)")
def alter_group(match: re.Match[str]) -> Statement:
    users = ", ".join(folded(u) for u in split_list(match["users"]))
    return Statement(
        "DDL",
        lambda _: f"alter group {folded(match['name'])} {match['verb']} user {users}",
        tag="ALTER GROUP",
    )


@rules.add(
    r"drop\s+(?P<what>user|group|"
    r"role)\s+(?P<exists>if\s+exists\s+)?(?P<name>PART)(?:\s+(?:force|restrict))?"
)
def drop_role(match: re.Match[str]) -> Statement:
    name, plain = folded(match["name"]), dollar_quoted(parts_of(match["name"])[0])
    return Statement(
        "DDL",
        lambda _: (
            f"do $standin$ begin drop role {match['exists'] or ''}{name}; "
            f"delete from standin.user_groups where name = {plain}; end $standin$"
        ),
        tag=f"DROP {match['what'].upper()}",
    )


@rules.add(r"create\s+role\s+(?P<name>PART)(?:\s+externalid\s+'[^']*')?")
def create_role(match: re.Match[str]) -> Statement:
    return Statement("DDL", lambda _: f"create role {folded(match['name'])} nologin")


@rules.add(
    r"(?:grant|revoke|alter\s+default\s+privileges)\s+.*",
)
def privileges(match: re.Match[str]) -> Statement:
    sql = match[0]
    if re.search(
        r"\b(assumerole|ignore\s+rls|masking|datashare|access\s+system\s+table)\b",
        sql,
        re.IGNORECASE,
    ):
        raise unsupported_here("this privilege")
    table = re.search(rf"\bon\s+(?:table\s+)?({NAME})\s+(?:to|from)\b", sql, FLAGS)
    command = ExternalCommand("grant", {"name": table[1]}) if table else None
    # The names of Redshift's own roles, such as sys:secadmin, are written without quotes.
    sql = re.sub(rf"{OUTSIDE_QUOTES}|\b(sys:\w+)", lambda m: quoted(m[1]) if m[1] else m[0], sql)
    # PostgreSQL has only roles. It ignores the word GROUP before a name but not the word ROLE.
    sql = re.sub(rf"\brole\s+(?={PART})", "", sql, flags=re.IGNORECASE)
    return as_is("DDL", sql, target=folded(table[1]) if table else None, external_target=command)
