"""What a statement is and what PostgreSQL is told instead: rules for DDL and utilities, all else is
denied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.redshift_standin import expressions
from tests.redshift_standin.expressions import OUTSIDE_QUOTES, Parsed, quoted
from tests.redshift_standin.refusals import Refused, syntax_error, unsupported_here

FLAGS = re.IGNORECASE | re.DOTALL
PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$]*)'
NAME = rf"{PART}(?:\s*\.\s*{PART}){{0,2}}"
LEADING_REMARKS = re.compile(r"(?:\s+|/\*.*?\*/|--[^\n]*(?:\n|$))*", re.DOTALL)

HASHED_NAME = re.compile(
    (
        rf"{OUTSIDE_QUOTES}|"
        r"(\b(?:from|join|into|table|update|exists|using|only|truncate)\s+)#(\w+)"
    ),
    FLAGS,
)


@dataclass(frozen=True)
class ExternalCommand:
    """External DDL, COPY or UNLOAD: run outside the client's session, by spectrum.py."""

    action: str
    match: dict[str, Any]
    refused_in_transaction: str | None = None


@dataclass(frozen=True)
class Statement:
    """`wrap` makes PostgreSQL's statement from the translated `body` (an empty text if there is
    none).
    """

    kind: str
    wrap: Callable[[str], str]
    body: Parsed | None = None
    tag: str | None = None
    external: ExternalCommand | None = None
    sets_query_group: str | None = None
    # A relation that a DROP or ALTER names: it may be an external table, which only the catalogue
    # knows.
    target: str | None = None
    external_target: ExternalCommand | None = None
    refused_in_transaction: str | None = None
    # It ends the transaction that it is in, as a COMMIT does.
    commits: bool = False
    source: str = field(default="", compare=False)


Rule = Callable[[re.Match[str]], Statement]
RULES: list[tuple[re.Pattern[str], Rule]] = []


def rule(*patterns: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for pattern in patterns:
            words = pattern.replace("NAME", NAME).replace("PART", PART)
            RULES.append((re.compile(words + r"\s*$", FLAGS), function))
        return function

    return register


def nothing(kind: str, tag: str, **more: Any) -> Statement:
    """A statement that succeeds without doing anything in PostgreSQL."""
    return Statement(kind, lambda _: "do $standin$ begin end $standin$", tag=tag, **more)


def as_is(kind: str, sql: str, tag: str | None = None, **more: Any) -> Statement:
    return Statement(kind, lambda _: names_kept(escapes_spelled_out(sql)), tag=tag, **more)


def split_statements(sql: str) -> list[str]:
    """The statements of one simple query."""
    found, start = [], 0
    for match in re.finditer(rf"{OUTSIDE_QUOTES}|(\$\w*\$).*?\1|;", sql, re.DOTALL):
        if match[0] == ";":
            found.append(sql[start : match.start()])
            start = match.end()
    found.append(sql[start:])
    return [s for s in found if s[LEADING_REMARKS.match(s).end() :].strip()]  # type: ignore[union-attr]


def classify(sql: str) -> Statement:
    """The rule for one statement; raises Refused."""
    start = LEADING_REMARKS.match(sql)
    text = sql[start.end() if start else 0 :].strip().rstrip(";").strip()
    # Temporary tables may bear a hash, which PostgreSQL takes in quotes alone.
    text = HASHED_NAME.sub(lambda m: f'{m[1]}"#{m[2]}"' if m[2] else m[0], text)
    for pattern, function in RULES:
        match = pattern.match(text)
        if match:
            return function(match)
    raise syntax_error(text.split(maxsplit=1)[0] if text else "end of input")


def escapes_spelled_out(sql: str) -> str:
    """Redshift reads backslashes in every literal; PostgreSQL does in E'' alone."""
    return re.sub(
        rf"(?<![\w]){OUTSIDE_QUOTES}",
        lambda m: "E" + m[0] if m[0][0] == "'" and "\\" in m[0] else m[0],
        sql,
        flags=re.DOTALL,
    )


def names_kept(sql: str) -> str:
    """Names that PostgreSQL would cut, in an otherwise unread statement."""
    return re.sub(
        rf"'(?:[^'\\]|\\.|'')*'|--[^\n]*|/\*.*?\*/|({PART})",
        lambda m: quoted(parts_of(m[1])[0]) if m[1] and len(m[1].encode()) > 63 else m[0],
        sql,
        flags=re.DOTALL,
    )


def folded(name: str) -> str:
    """A name of up to three parts, in lower case and quoted."""
    return ".".join(quoted(part) for part in parts_of(name))


def parts_of(name: str) -> list[str]:
    return [p.strip('"').replace('""', '"').lower() for p in re.findall(PART, name)]


def dollar_quoted(text: str) -> str:
    tag = "$standin_text$"
    if tag in text:
        raise unsupported_here(f"the text holds {tag}")
    return f"{tag}{text}{tag}"


def closing_parenthesis(text: str, opening: int) -> int:
    depth = 0
    for match in re.finditer(rf"{OUTSIDE_QUOTES}|[()]", text[opening:], re.DOTALL):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if depth == 0:
                return opening + match.start()
    raise syntax_error("end of input")


def split_list(text: str) -> list[str]:
    """The items of a list that is separated by commas."""
    found, start, depth = [], 0, 0
    for match in re.finditer(rf"{OUTSIDE_QUOTES}|[(),<>]", text, re.DOTALL):
        if match[0] in "(<":
            depth += 1
        elif match[0] in ")>":
            depth -= 1
        elif match[0] == "," and depth == 0:
            found.append(text[start : match.start()].strip())
            start = match.end()
    found.append(text[start:].strip())
    return [item for item in found if item]


# Queries
# -------------------------------------------------------------------------------------------------

CATALOG_READ = re.compile(
    (
        r'\b(?:from|join)\s+(?:"?pg_catalog"?\s*\.\s*"?(?!svv_|sys_|stl_|svl_)|'
        r'"?information_schema"?\s*\.|"?pg_(?!table_def)\w+)'
    ),
    re.IGNORECASE,
)
SHADOWS = ("columns", "tables", "views", "schemata")


@rule(r"(?:(?:select|with|values)\b|\().*", r"table\s+NAME")
def select(match: re.Match[str]) -> Statement:
    text = match[0]
    if CATALOG_READ.search(text):
        return as_is("SELECT", over_shadows(text))
    if text.lower().startswith(("values", "table")):
        raise syntax_error(text.split()[0])
    if re.match(r"select\b", text, re.IGNORECASE) and re.search(r"\binto\s", text, re.IGNORECASE):
        parsed = expressions.parse(text)
        if parsed.tree.args.get("into"):
            return Statement("CTAS", lambda body: body, parsed)
    return query("SELECT", text)


def over_shadows(text: str) -> str:
    """PostgreSQL's catalogue without the stand-in's own relations, with Redshift's columns."""
    text = re.sub(
        rf'"?information_schema"?\s*\.\s*"?({"|".join(SHADOWS)})\b"?',
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


@rule(r"(?P<kind>insert|update|delete|merge)\b.*")
def change(match: re.Match[str]) -> Statement:
    kind = match["kind"].upper()
    if kind != "MERGE":
        return query(kind, match[0])
    # Into all columns: the parser wants to see some.
    text = ALL_COLUMNS.sub(
        lambda m: "insert (standin_all_columns) values" if m[1] else m[0], match[0]
    )
    return Statement(
        kind, lambda body: body.replace("(standin_all_columns) ", ""), expressions.parse(text)
    )


ALL_COLUMNS = re.compile(rf"{OUTSIDE_QUOTES}|\b(insert)\s+values\b", FLAGS)


def query(kind: str, text: str) -> Statement:
    return Statement(kind, lambda body: body, expressions.parse(text))


@rule(
    r"explain\s+(?P<verbose>verbose\s+)?(?P<query>(?:select|with|insert|update|delete|create|\().*)"
)
def explain(match: re.Match[str]) -> Statement:
    inner = classify(match["query"])
    return Statement("UTILITY", lambda body: f"explain {inner.wrap(body)}", inner.body)


# Tables
# --------------------------------------------------------------------------------------------------


def _cut(pattern: str, text: str, use: Callable[[re.Match[str]], None]) -> str:
    match = re.search(pattern, text, FLAGS)
    if match:
        use(match)
        text = f"{text[: match.start()]} {text[match.end() :]}"
    return text


def table_attributes(text: str) -> tuple[str, dict[str, Any]]:
    """Distribution, sort keys and so on, and what is left of the text."""
    found: dict[str, Any] = {}
    text = _cut(r"\bbackup\s+(yes|no)\b", text, lambda _: None)
    text = _cut(
        r"\bdiststyle\s+(all|even|key|auto)\b", text, lambda m: found.update(diststyle=m[1])
    )
    text = _cut(
        rf"\bdistkey\s*\(\s*({PART})\s*\)", text, lambda m: found.update(distkey=parts_of(m[1])[0])
    )
    text = _cut(
        r"\b(compound\s+|interleaved\s+)?sortkey\s*\(([^)]*)\)",
        text,
        lambda m: found.update(
            sortstyle=(m[1] or "compound").strip().lower(),
            sortkeys=[parts_of(column)[0] for column in split_list(m[2])],
        ),
    )
    for automatic in (r"\bsortkey\s+auto\b", r"\bencode\s+auto\b"):
        text = _cut(automatic, text, lambda _: None)
    keys = found.get("sortkeys", [])
    if len(keys) > (8 if found.get("sortstyle") == "interleaved" else 400):
        raise Refused("42601", "too many sort keys")
    return text, found


TYPES = re.compile(
    r"(?:smallint|int2|integer|int4|int|bigint|int8|decimal|numeric|real|float4|"
    r"double\s+precision|float8|float|"
    r"boolean|bool|character\s+varying|char|character|nchar|bpchar|varchar|nvarchar|"
    r"text|date|timestamp|timestamptz|"
    r"timetz|time|geometry|geography|hllsketch|super|varbyte|varbinary|binary\s+varying|"
    r"interval)\b",
    re.IGNORECASE,
)


# As the catalogue shows them.
ENCODINGS = {
    "raw": "none", "az64": "az64", "bytedict": "bytedict", "delta": "delta",
    "delta32k": "delta32k", "lzo": "lzo", "mostly8": "mostly8", "mostly16": "mostly16",
    "mostly32": "mostly32", "runlength": "runlength", "text255": "text255",
    "text32k": "text32k", "zstd": "zstd",
}  # fmt: skip
AFTER_TYPE = re.compile(
    r"\s*(\(\s*(max|\d+(\s*,\s*\d+)?)\s*\))?(\s+with(out)?\s+time\s+zone)?"
    r"(\s+(not\s+null|null|default\s+.+|collate\s+\w+|generated\s+(?:by\s+default|always)\s+.+))*\s*$",
    FLAGS,
)


def column_type(text: str) -> str:
    """PostgreSQL's name of a column type, and what follows it; a text without a length has 256
    bytes.
    """
    named = TYPES.match(text)
    if not named or not AFTER_TYPE.match(text, named.end()):
        name = re.match(r"\S+", text)
        raise Refused("42704", f'type "{name[0] if name else ""}" does not exist')
    sizes = re.match(r"(?:decimal|numeric)\s*\(\s*(\d+)(?:\s*,\s*(\d+))?", text, re.IGNORECASE)
    if sizes and not 1 <= int(sizes[1]) <= 38:
        raise Refused("42611", f"DECIMAL precision {sizes[1]} must be between 1 and 38")
    if sizes and int(sizes[2] or 0) > int(sizes[1]):
        raise Refused(
            "42611", f"DECIMAL scale {sizes[2]} must be between 0 and precision {sizes[1]}"
        )
    length = re.match(r"(?:n?char|character|bpchar)\s*\(\s*(\d+)", text, re.IGNORECASE)
    if length and not 1 <= int(length[1]) <= 4096:
        raise Refused("42611", "length for type bpchar cannot exceed 4096")
    length = re.match(r"(?:n?varchar|character\s+varying)\s*\(\s*(\d+)", text, re.IGNORECASE)
    if length and not 1 <= int(length[1]) <= 65535:
        raise Refused("42611", "length for type varchar cannot exceed 65535")
    text = re.sub(r"^nvarchar\b", "varchar", text, flags=re.IGNORECASE)
    text = re.sub(r"^nchar\b", "char", text, flags=re.IGNORECASE)
    text = re.sub(r"^bpchar\b(?!\s*\()", "char(256)", text, flags=re.IGNORECASE)
    text = re.sub(
        r"^(varchar|character\s+varying)\s*\(\s*max\s*\)", "varchar(65535)", text, flags=FLAGS
    )
    text = re.sub(r"^(decimal|numeric)\b(?!\s*\()", "numeric(18,0)", text, flags=re.IGNORECASE)
    text = re.sub(
        r"^(varbyte|varbinary|binary\s+varying)\b(\s*\([^)]*\))?",
        "varbyte",
        text,
        flags=re.IGNORECASE,
    )
    return re.sub(
        r"^(varchar|character\s+varying|text)\b(?!\s*\()", "varchar(256)", text, flags=re.IGNORECASE
    )


def _encode(column: str, encoding: str, attributes: dict[str, Any]) -> None:
    if encoding not in ENCODINGS:
        raise Refused("42601", f'unrecognized encoding "{encoding}"')
    attributes.setdefault("encodings", {})[column] = ENCODINGS[encoding]


def _distribute(column: str, attributes: dict[str, Any]) -> None:
    if "distkey" in attributes:
        raise Refused("42601", "multiple distkeys are not allowed")
    attributes.update(distkey=column)


def column_definition(text: str, attributes: dict[str, Any]) -> str | None:
    """One item of a column list. Keys are information in Redshift, never enforced: they are left
    out.
    """
    if re.match(
        rf"(constraint\s+{PART}\s+)?(primary\s+key|unique|foreign\s+key)\b", text, re.IGNORECASE
    ):
        return None
    if re.match(rf"(constraint\s+{PART}\s+)?check\b", text, re.IGNORECASE):
        raise Refused("0A000", "CHECK constraints are not supported")
    if re.match(r"exclude\b", text, re.IGNORECASE):
        raise syntax_error("exclude")
    named = re.match(rf"({PART})\s+", text)
    if not named:
        raise syntax_error(text.split(maxsplit=1)[0])
    name, rest = parts_of(named[1])[0], text[named.end() :]
    if re.search(r"\bcheck\s*\(", rest, re.IGNORECASE):
        raise Refused("0A000", "CHECK constraints are not supported")
    if re.search(r"\bgenerated\s+always\b", rest, re.IGNORECASE):
        raise syntax_error("always")
    rest = re.sub(
        rf"\bprimary\s+key\b|\bunique\b|\breferences\s+{NAME}\s*(\([^)]*\))?", "", rest, flags=FLAGS
    )
    rest = _cut(r"\bencode\s+(\w+)", rest, lambda m: _encode(name, m[1].lower(), attributes))
    rest = _cut(r"\bdistkey\b", rest, lambda _: _distribute(name, attributes))
    rest = _cut(r"\bsortkey\b", rest, lambda _: attributes.update(sortkeys=[name]))
    # Only the one by default takes values that are given.
    rest = re.sub(
        r"\b(generated\s+by\s+default\s+as\s+)?identity\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)",
        lambda m: (
            f"generated {'by default' if m[1] else 'always'} as identity "
            f"(minvalue 0 start {m[2]} increment {m[3]})"
        ),
        rest,
        flags=FLAGS,
    )
    return f"{quoted(name)} {column_type(rest.strip())}"


def attributes_remark(attributes: dict[str, Any]) -> str:
    return f"/*standin:{json.dumps(attributes)}*/ " if attributes else ""


@rule(
    r"create\s+(?P<temp>(?:local\s+)?temp(?:orary)?\s+)?table\s+(?P<exists>if\s+not\s+exists\s+)?"
    r"(?P<name>NAME)(?P<rest>\s*\(.*|\s.*)"
)
def create_table(match: re.Match[str]) -> Statement:
    rest = match["rest"].strip()
    is_temp = bool(match["temp"]) or match["name"].startswith('"#')
    start = (
        f"create {'temp ' if is_temp else ''}table {match['exists'] or ''}{folded(match['name'])}"
    )
    if rest.startswith("("):
        end = closing_parenthesis(rest, 0)
        inner, after = rest[1:end].strip(), rest[end + 1 :]
        like = re.match(rf"like\s+({NAME})(\s+including\s+defaults)?\s*$", inner, FLAGS)
        if like:
            return Statement("DDL", lambda _: f"{start} (like {folded(like[1])}{like[2] or ''})")
        with_query = re.match(r"(.*?)\bas\b(.*)$", after, FLAGS)
        left, attributes = table_attributes(with_query[1] if with_query else after)
        if left.strip():
            raise syntax_error(left.split()[0])
        if with_query:
            names = ", ".join(quoted(parts_of(item)[0]) for item in split_list(inner))
            body = expressions.parse(_unwrapped(with_query[2]))
            return Statement(
                "CTAS",
                lambda sql: f"{attributes_remark(attributes)}{start} ({names}) as {sql}",
                body,
            )
        columns = [column_definition(item, attributes) for item in split_list(inner)]
        listed = ", ".join(column for column in columns if column)
        return Statement("DDL", lambda _: f"{attributes_remark(attributes)}{start} ({listed})")
    with_query = re.match(r"(.*?)\bas\b(.*)$", rest, FLAGS)
    if not with_query:
        raise syntax_error(rest.split()[0])
    left, attributes = table_attributes(with_query[1])
    if left.strip():
        raise syntax_error(left.split()[0])
    body = expressions.parse(_unwrapped(with_query[2]))
    return Statement("CTAS", lambda sql: f"{attributes_remark(attributes)}{start} as {sql}", body)


def _unwrapped(text: str) -> str:
    text = text.strip()
    while text.startswith("(") and closing_parenthesis(text, 0) == len(text) - 1:
        text = text[1:-1].strip()
    return text


@rule(
    r"create\s+(?P<replace>or\s+replace\s+)?view\s+(?P<name>NAME)\s*(?P<columns>\([^)]*\)\s*)?as\s+(?P<body>.*)"
)
def create_view(match: re.Match[str]) -> Statement:
    text = match["body"].strip()
    late = re.search(r"\s+with\s+no\s+schema\s+binding$", text, FLAGS)
    name, replaces = folded(match["name"]), bool(match["replace"])
    if not late:
        body = expressions.parse(_unwrapped(text))
        start = f"create {'or replace ' if replaces else ''}view {name} {match['columns'] or ''}as "
        return Statement("DDL", lambda sql: start + sql, body, tag="CREATE VIEW")
    source = _unwrapped(text[: late.start()])
    body = expressions.parse(source)
    for table in expressions.tables_in(body.tree):
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


@rule(r"create\s+materialized\s+view\s+(?P<name>NAME)(?P<attributes>.*?)\bas\b(?P<body>.*)")
def create_materialized_view(match: re.Match[str]) -> Statement:
    refreshes = bool(re.search(r"auto\s+refresh\s+yes", match["attributes"], FLAGS))
    source = _unwrapped(match["body"])

    def wrap(sql: str) -> str:
        return (
            "do $standin_view$ begin perform standin.create_materialized_view("
            f"{dollar_quoted(folded(match['name']))}, {dollar_quoted(sql)}, "
            f"{dollar_quoted(source)}, {refreshes}); "
            "end $standin_view$"
        )

    return Statement("DDL", wrap, expressions.parse(source), tag="CREATE MATERIALIZED VIEW")


@rule(r"refresh\s+materialized\s+view\s+(?P<name>NAME)(?:\s+(?:cascade|restrict))?")
def refresh(match: re.Match[str]) -> Statement:
    return Statement("UTILITY", lambda _: f"refresh materialized view {folded(match['name'])}")


@rule(
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
        "DROP EXTERNAL TABLE cannot run inside a transaction block",
    )
    is_one = match["what"].lower() == "table" and "," not in names
    return Statement(
        "DDL",
        lambda _: sql,
        target=names if is_one else None,
        external_target=command if is_one else None,
    )


@rule(r"truncate\s+(?:table\s+)?(?P<name>NAME)")
def truncate(match: re.Match[str]) -> Statement:
    return Statement(
        "DDL",
        lambda _: f"truncate table {folded(match['name'])}",
        tag="TRUNCATE TABLE",
        commits=True,
    )


IN_TRANSACTION = "ALTER EXTERNAL TABLE cannot run inside a transaction block"


@rule(
    r"alter\s+table\s+(?P<name>NAME)\s+add\s+(?P<exists>if\s+not\s+exists\s+)?(?P<partitions>partition\s*\(.*)",
)
def add_partition(match: re.Match[str]) -> Statement:
    return nothing(
        "DDL",
        "ALTER TABLE",
        external=ExternalCommand("add_partitions", match.groupdict(), IN_TRANSACTION),
    )


@rule(r"alter\s+table\s+(?P<name>NAME)\s+drop\s+(?P<partitions>partition\s*\(.*)")
def drop_partition(match: re.Match[str]) -> Statement:
    return nothing(
        "DDL",
        "ALTER TABLE",
        external=ExternalCommand("drop_partition", match.groupdict(), IN_TRANSACTION),
    )


@rule(
    r"alter\s+table\s+(?P<name>NAME)\s+(?P<partition>partition\s*\([^)]*\)\s*)?set\s+location\s+'(?P<location>[^']*)'",
    r"alter\s+table\s+(?P<name>NAME)\s+set\s+(?P<properties>table\s+properties\s*\(.*\))",
    r"alter\s+table\s+(?P<name>NAME)\s+set\s+file\s+format\s+(?P<format>\w+)",
)
def alter_external(match: re.Match[str]) -> Statement:
    return nothing(
        "DDL",
        "ALTER TABLE",
        external=ExternalCommand("alter_table", match.groupdict(), IN_TRANSACTION),
    )


@rule(
    r"alter\s+table\s+(?P<name>NAME)\s+alter\s+(?:diststyle|distkey|sortkey|"
    r"compound\s+sortkey|encode)\b.*"
)
def alter_keys(match: re.Match[str]) -> Statement:
    # How rows are distributed and sorted changes no result; ownership is PostgreSQL's to check.
    name = folded(match["name"])
    return Statement(
        "DDL", lambda _: f"alter table {name} set (fillfactor = 100)", tag="ALTER TABLE"
    )


@rule(
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
    command = ExternalCommand("alter_columns", match.groupdict(), IN_TRANSACTION)
    return Statement(
        "DDL",
        lambda _: f"alter table {name} {what}",
        tag="ALTER TABLE",
        target=name,
        external_target=command,
    )


@rule(
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


@rule(r"alter\s+table\s+(?P<name>NAME)\s+append\s+from\s+.*")
def alter_append(_: re.Match[str]) -> Statement:
    raise unsupported_here("ALTER TABLE APPEND")


@rule(r"create\s+(?:unique\s+)?index\b.*")
def create_index(_: re.Match[str]) -> Statement:
    raise Refused("0A000", 'SQL command "CREATE INDEX" not supported on Redshift tables.')


@rule(r"comment\s+on\s+(?:table|column|view|database|constraint|schema)\s+.*")
def comment(match: re.Match[str]) -> Statement:
    return as_is("DDL", match[0])


# Schemas, users, privileges
# ---------------------------------------------------------------------------------


@rule(
    r"create\s+external\s+schema\s+(?P<exists>if\s+not\s+exists\s+)?(?P<name>PART)\s+from\s+(?P<rest>.*)"
)
def create_external_schema(match: re.Match[str]) -> Statement:
    return nothing(
        "DDL", "CREATE SCHEMA", external=ExternalCommand("create_schema", match.groupdict())
    )


@rule(r"create\s+external\s+table\s+(?P<name>NAME)\s*(?P<rest>\(.*)")
def create_external_table(match: re.Match[str]) -> Statement:
    return nothing(
        "DDL",
        "CREATE EXTERNAL TABLE",
        external=ExternalCommand(
            "create_table",
            match.groupdict(),
            "CREATE EXTERNAL TABLE cannot run inside a transaction block",
        ),
    )


@rule(
    r"create\s+schema\s+(?P<exists>if\s+not\s+exists\s+)?(?:PART\s*\.\s*)?(?P<name>PART)(?P<owner>\s+authorization\s+PART)?(?:\s+quota\s+.*)?"
)
def create_schema(match: re.Match[str]) -> Statement:
    owner = (match["owner"] or "").lower()
    sql = f"create schema {match['exists'] or ''}{folded(match['name'])}{owner}"
    return Statement("DDL", lambda _: sql)


@rule(
    r"drop\s+schema\s+(?P<exists>if\s+exists\s+)?(?P<names>NAME(?:\s*,\s*NAME)*)\s*(?P<database>drop\s+external\s+database\s*)?(?P<cascade>cascade|restrict)?"
)
def drop_schema(match: re.Match[str]) -> Statement:
    names = [parts_of(name)[-1] for name in split_list(match["names"])]
    sql = (
        f"drop schema {match['exists'] or ''}{', '.join(map(quoted, names))} "
        f"{match['cascade'] or ''}"
    )
    command = ExternalCommand("drop_schema", {"names": names})
    return Statement("DDL", lambda _: sql, target="schema:" + names[0], external_target=command)


@rule(
    r"alter\s+schema\s+(?P<name>PART)\s+(?P<rest>(?:owner|rename)\s+to\s+PART)",
    r"alter\s+schema\s+(?P<name>PART)\s+(?P<rest>quota\s+.*)",
)
def alter_schema(match: re.Match[str]) -> Statement:
    if match["rest"].lower().startswith("quota"):
        return nothing("DDL", "ALTER SCHEMA")
    return Statement(
        "DDL", lambda _: f"alter schema {folded(match['name'])} {match['rest'].lower()}"
    )


PASSWORD = re.compile(r"\bpassword\s+(disable|'(?:[^']|'')*')", re.IGNORECASE)


@rule(r"(?P<verb>create|alter)\s+user\s+(?P<name>PART)(?P<rest>.*)")
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
            "DDL", lambda _: f"alter role {name} {escapes_spelled_out(rest)}", tag="ALTER USER"
        )
    password = PASSWORD.search(rest)
    creates = match["verb"].lower() == "create"
    if creates and not password:
        raise syntax_error("end of input")
    options = (
        [f"password {'null' if password[1].lower() == 'disable' else password[1]}"]
        if password
        else []
    )
    if password and password[1] != "disable":
        _check_password(password[1][1:-1])
    rest = PASSWORD.sub(" ", rest)
    for written, meant in (
        (r"\bnocreateuser\b", "nosuperuser"),
        (r"\bcreateuser\b", "superuser"),
        (r"\bnocreatedb\b", "nocreatedb"),
        (r"\bcreatedb\b", "createdb"),
        (r"\bvalid\s+until\s+'[^']*'", None),
        (r"\bconnection\s+limit\s+(?:\d+|unlimited)", None),
        (r"\bsession\s+timeout\s+\d+", ""),
        (r"\bsyslog\s+access\s+(?:restricted|unrestricted)", ""),
    ):
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
    sql = f"{match['verb']} role {name} {'login ' if creates else ''}{' '.join(options)}"
    return Statement("DDL", lambda _: sql, tag=f"{match['verb'].upper()} USER")


def _check_password(password: str) -> None:
    if re.match(r"(md5[0-9a-f]{32}|sha256\|)", password):
        raise unsupported_here("a password that is hashed already")
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
            "uppercase "
            "letter, one lowercase letter, and one number.",
        )


@rule(r"create\s+group\s+(?P<name>PART)(?:\s+with\s+user\s+(?P<users>.*))?")
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


@rule(r"alter\s+group\s+(?P<name>PART)\s+(?P<verb>add|drop)\s+user\s+(?P<users>.*)")
def alter_group(match: re.Match[str]) -> Statement:
    users = ", ".join(folded(u) for u in split_list(match["users"]))
    return Statement(
        "DDL",
        lambda _: f"alter group {folded(match['name'])} {match['verb']} user {users}",
        tag="ALTER GROUP",
    )


@rule(
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


@rule(r"create\s+role\s+(?P<name>PART)(?:\s+externalid\s+'[^']*')?")
def create_role(match: re.Match[str]) -> Statement:
    return Statement("DDL", lambda _: f"create role {folded(match['name'])} nologin")


@rule(
    r"(?P<verb>grant|revoke)\s+(?P<rest>.*)",
    r"(?P<verb>alter\s+default\s+privileges)\s+(?P<rest>.*)",
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
    # PostgreSQL has roles alone: GROUP is noise to it, ROLE is not.
    sql = re.sub(rf"\brole\s+(?={PART})", "", sql, flags=re.IGNORECASE)
    return as_is("DDL", sql, target=folded(table[1]) if table else None, external_target=command)


# Sessions and transactions
# ----------------------------------------------------------------------------------


@rule(
    r"(?:begin|start\s+transaction)(?:\s+(?:work|"
    r"transaction))?(?P<mode>\s+isolation\s+level\s+(?:serializable|repeatable\s+read|"
    r"read\s+committed|read\s+uncommitted))?(?P<access>\s*,?\s*read\s+(?:write|only))?"
)
def begin(match: re.Match[str]) -> Statement:
    # Every isolation level is read committed here: what the loader of external tables commits must
    # be seen.
    return Statement("UTILITY", lambda _: "begin" + (match["access"] or "").replace(",", " "))


@rule(r"(?P<verb>commit|end|rollback|abort)(?:\s+(?:work|transaction))?")
def end(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match["verb"])


@rule(r"savepoint\b.*", r"rollback\s+to\b.*", r"release\b.*")
def savepoint(_: re.Match[str]) -> Statement:
    raise Refused("0A000", "SAVEPOINT is not supported")


@rule(r"set\s+(?:session\s+)?query_group\s*(?:to|=)\s*(?P<value>'(?:[^']|'')*'|PART)")
def set_query_group(match: re.Match[str]) -> Statement:
    value = match["value"].strip("'").replace("''", "'")
    return as_is(
        "UTILITY",
        f"set standin.query_group to '{value.replace(chr(39), chr(39) * 2)}'",
        sets_query_group=value,
    )


@rule(r"reset\s+(?P<name>query_group|all)")
def reset_query_group(match: re.Match[str]) -> Statement:
    name = "all" if match["name"].lower() == "all" else "standin.query_group"
    return as_is("UTILITY", f"reset {name}", sets_query_group="")


@rule(r"set\s+(?:session\s+)?search_path\s*(?:to|=)\s*(?P<value>.*)")
def set_search_path(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match[0])


@rule(
    r"set\s+(?P<local>local\s+|session\s+)?(?P<name>statement_timeout|datestyle|"
    r"timezone|time\s+zone|client_encoding|application_name)\s*(?:to\s+|=\s*|\s+)(?P<value>.*)"
)
def set_known(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match[0])


@rule(
    r"(?P<verb>set)\s+(?P<name>wlm_query_slot_count|enable_result_cache_for_session|"
    r"enable_case_sensitive_identifier|describe_field_name_in_uppercase|"
    r"enable_\w+|describe_\w+|spectrum_\w+|mv_\w+|analyze_threshold_percent|"
    r"extra_float_digits|json_parse_\w+|cast_super_null_on_error|"
    r"error_on_nondeterministic_update|downcast_delimited_varchar_to_varbyte|max_\w+|"
    r"navigate_super_null_on_error|query_group_\w+|activate_aqua|use_fips_ssl)\b.*",
    (
        r"(?P<verb>reset)\s+(?P<name>use|wlm\w+|enable_\w+|describe_\w+|spectrum_\w+|"
        r"extra_float_digits)"
    ),
    r"(?P<verb>use)\s+(?P<name>\S+)",
)
def session_setting(match: re.Match[str]) -> Statement:
    on = re.search(r"(?:to|=)\s*'?(on|true|1)\b", match[0], re.IGNORECASE)
    if on and "case_sensitive" in match[0].lower():
        raise unsupported_here("enable_case_sensitive_identifier")
    if match["name"].lower() == "enable_numeric_rounding":
        value = "on" if on else "off"
        return as_is("UTILITY", f"set standin.enable_numeric_rounding to {value}", "SET")
    return nothing("UTILITY", match["verb"].upper())


@rule(
    r"reset\s+(?P<name>statement_timeout|search_path|datestyle|timezone|application_name)",
    r"(?:discard|deallocate)\s+all",
)
def reset(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match[0])


@rule(r"set\s+session\s+authorization\s+.*")
def set_authorization(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match[0])


@rule(r"show\s+query_group")
def show_query_group(_: re.Match[str]) -> Statement:
    return as_is(
        "UTILITY",
        (
            "select coalesce(nullif(current_setting('standin.query_group', true), ''), "
            "'unset') as query_group"
        ),
    )


@rule(
    (
        r"show\s+(?P<name>search_path|statement_timeout|datestyle|timezone|server_version|"
        r"client_encoding|application_name|is_superuser|session_authorization|"
        r"server_encoding|standard_conforming_strings)"
    ),
    r"show\s+time\s+zone",
)
def show(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match[0])


def _shown(function: str, *names: str | None) -> Statement:
    listed = ", ".join(
        "null" if n is None else "'" + n.strip("'").replace("'", "''") + "'" for n in names
    )
    return as_is("UTILITY", f"select * from standin.{function}({listed})")


@rule(r"show\s+tables\s+from\s+schema\s+(?P<name>NAME)(?:\s+like\s+'[^']*')?(?:\s+limit\s+\d+)?")
def show_tables(match: re.Match[str]) -> Statement:
    return _shown("show_tables", parts_of(match["name"])[-1])


@rule(r"show\s+(?P<what>columns|grants)\s+(?:from|on)\s+table\s+(?P<name>NAME)(?:\s+limit\s+\d+)?")
def show_columns(match: re.Match[str]) -> Statement:
    return _shown(f"show_{match['what'].lower()}", *parts_of(match["name"])[-2:])


@rule(
    r"show\s+schemas\s+from\s+database\s+PART(?:\s+like\s+(?P<pattern>'[^']*'))?(?:\s+limit\s+\d+)?"
)
def show_schemas(match: re.Match[str]) -> Statement:
    return _shown("show_schemas", match["pattern"])


@rule(r"analyze\s+compression\b.*", r"vacuum\b.*", r"analyze\b.*")
def maintenance(match: re.Match[str]) -> Statement:
    verb = match[0].split()[0].upper()
    refused = "VACUUM cannot run inside a transaction block" if verb == "VACUUM" else None
    return nothing("UTILITY", verb, refused_in_transaction=refused)


@rule(r"lock\s+(?:table\s+)?(?P<names>NAME(?:\s*,\s*NAME)*)")
def lock(match: re.Match[str]) -> Statement:
    names = ", ".join(folded(name) for name in split_list(match["names"]))
    return Statement("UTILITY", lambda _: f"lock table {names}")


@rule(r"(?P<verb>cancel)\s+(?P<pid>\d+)(?:\s+'[^']*')?")
def cancel(match: re.Match[str]) -> Statement:
    return as_is(
        "UTILITY",
        f"do $standin$ begin perform pg_cancel_backend({match['pid']}); end $standin$",
        "CANCEL",
    )


@rule(r"(?P<verb>declare\s+PART\s+cursor\s+for)\s+(?P<body>.*)")
def declare(match: re.Match[str]) -> Statement:
    return Statement(
        "UTILITY", lambda sql: f"{match['verb']} {sql}", expressions.parse(match["body"])
    )


@rule(r"fetch\s+(?:forward\s+)?(?:next|all|\d+)\s+from\s+PART", r"close\s+PART")
def fetch(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match[0])


@rule(
    r"copy\s+(?P<name>NAME)\s*(?:\((?P<columns>[^)]*)\))?\s*from\s+'(?P<location>[^']*)'(?P<rest>.*)"
)
def copy(_: re.Match[str]) -> Statement:
    raise unsupported_here("COPY: this project reads S3 through external tables")


@rule(r"unload\s*\(.*")
def unload(_: re.Match[str]) -> Statement:
    raise unsupported_here("UNLOAD")
