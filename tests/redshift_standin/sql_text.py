"""Functions on SQL text: quotes, names, literals, parentheses and lists."""

from __future__ import annotations

import hashlib
import re

from tests.redshift_standin.refusals import syntax_error, unsupported_here

FLAGS = re.IGNORECASE | re.DOTALL
OUTSIDE_QUOTES = r"'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/"
"""Matches a quoted text or a comment. `OUTSIDE_QUOTES|other` finds `other` only outside them."""
# PART is one part of a name, and NAME is a name of up to three parts.
PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$]*)'
NAME = rf"{PART}(?:\s*\.\s*{PART}){{0,2}}"
COMMENTS = re.compile(r"(?:\s+|/\*.*?\*/|--[^\n]*(?:\n|$))*", re.DOTALL)

# Statements
# -------------------------------------------------------------------------------------------------


def split_statements(sql: str) -> list[str]:
    """Split the text of one simple query into its statements."""
    found, start = [], 0
    for match in re.finditer(rf"{OUTSIDE_QUOTES}|(\$\w*\$).*?\1|;", sql, re.DOTALL):
        if match[0] == ";":
            found.append(sql[start : match.start()])
            start = match.end()
    found.append(sql[start:])
    return [statement for statement in found if without_comments(statement)]


def without_comments(sql: str) -> str:
    """Return the statement without the comments and blanks before it, and the blanks after it."""
    start = COMMENTS.match(sql)
    return sql[start.end() if start else 0 :].strip()


def with_escape_literals(sql: str) -> str:
    """Write literals with backslashes as E''.

    Redshift reads backslash escapes in every literal, and PostgreSQL only in E''.
    """
    return re.sub(
        rf"(?<![\w]){OUTSIDE_QUOTES}",
        lambda m: "E" + m[0] if m[0][0] == "'" and "\\" in m[0] else m[0],
        sql,
        flags=re.DOTALL,
    )


def with_short_names(sql: str) -> str:
    """Shorten the names that PostgreSQL would cut, in a statement that is not parsed."""
    return re.sub(
        rf"'(?:[^'\\]|\\.|'')*'|--[^\n]*|/\*.*?\*/|({PART})",
        lambda m: quoted(parts_of(m[1])[0]) if m[1] and len(m[1].encode()) > 63 else m[0],
        sql,
        flags=re.DOTALL,
    )


# Names and literals
# -------------------------------------------------------------------------------------------------


def short_name(name: str) -> str:
    """Return the name that PostgreSQL stores for a name.

    PostgreSQL keeps 63 bytes of a name and Redshift keeps 127. The end of a longer name is replaced
    by a hash of its first 127 bytes.
    """
    written = name.encode()
    if len(written) <= 63:
        return name
    digest = hashlib.sha256(written[:127]).hexdigest()[:16]
    return f"{written[:46].decode(errors='ignore')}_{digest}"


def quoted(name: str) -> str:
    """Return one part of a name in PostgreSQL's quotes."""
    name = short_name(name)
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> str:
    """Return a name of up to three parts in lower case, each part quoted."""
    return ".".join(quoted(part) for part in parts_of(name))


def parts_of(name: str) -> list[str]:
    """Return the parts of a name in lower case and without quotes."""
    return [p.strip('"').replace('""', '"').lower() for p in re.findall(PART, name)]


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def dollar_quoted(text: str) -> str:
    """Return a text in dollar quotes, in which no character needs an escape."""
    tag = "$standin_text$"
    if tag in text:
        raise unsupported_here(f"a text that contains {tag}")
    return f"{tag}{text}{tag}"


# Parentheses and lists
# -------------------------------------------------------------------------------------------------


def closing_parenthesis(text: str, opening: int) -> int:
    """Return where the parenthesis at `opening` is closed; raises Refused if it is not."""
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
    """Return the items of a list that commas separate."""
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


def unwrapped(text: str) -> str:
    """Return a query without the parentheses around it."""
    text = text.strip()
    while text.startswith("(") and closing_parenthesis(text, 0) == len(text) - 1:
        text = text[1:-1].strip()
    return text
