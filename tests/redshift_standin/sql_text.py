"""SQL as text: where quotes begin and end, names, literals, lists."""

from __future__ import annotations

import hashlib
import re

from tests.redshift_standin.refusals import syntax_error, unsupported_here

FLAGS = re.IGNORECASE | re.DOTALL
OUTSIDE_QUOTES = r"'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/"
"""Before another pattern and a bar: what that pattern is not to be found in."""
# A name's part, and a name.
PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$]*)'
NAME = rf"{PART}(?:\s*\.\s*{PART}){{0,2}}"
REMARKS = re.compile(r"(?:\s+|/\*.*?\*/|--[^\n]*(?:\n|$))*", re.DOTALL)

# Statements
# -------------------------------------------------------------------------------------------------


def split_statements(sql: str) -> list[str]:
    """The statements of one simple query."""
    found, start = [], 0
    for match in re.finditer(rf"{OUTSIDE_QUOTES}|(\$\w*\$).*?\1|;", sql, re.DOTALL):
        if match[0] == ";":
            found.append(sql[start : match.start()])
            start = match.end()
    found.append(sql[start:])
    return [statement for statement in found if without_remarks(statement)]


def without_remarks(sql: str) -> str:
    """The statement without what leads up to it, and blanks after it."""
    start = REMARKS.match(sql)
    return sql[start.end() if start else 0 :].strip()


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


# Names and literals
# -------------------------------------------------------------------------------------------------


def kept_name(name: str) -> str:
    """A name in PostgreSQL, which keeps 63 bytes of it where Redshift keeps 127."""
    written = name.encode()
    if len(written) <= 63:
        return name
    told = hashlib.sha256(written[:127]).hexdigest()[:16]
    return f"{written[:46].decode(errors='ignore')}_{told}"


def quoted(name: str) -> str:
    """A name's part as PostgreSQL wants it in quotes."""
    name = kept_name(name)
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> str:
    """A name of up to three parts, in lower case and quoted."""
    return ".".join(quoted(part) for part in parts_of(name))


def parts_of(name: str) -> list[str]:
    """The parts of a name, in lower case and without quotes."""
    return [p.strip('"').replace('""', '"').lower() for p in re.findall(PART, name)]


def literal(text: str) -> str:
    """A text in quotes."""
    return "'" + text.replace("'", "''") + "'"


def dollar_quoted(text: str) -> str:
    """A text of any kind in quotes that no escape can end."""
    tag = "$standin_text$"
    if tag in text:
        raise unsupported_here(f"the text holds {tag}")
    return f"{tag}{text}{tag}"


# Parentheses and lists
# -------------------------------------------------------------------------------------------------


def closing_parenthesis(text: str, opening: int) -> int:
    """Where the parenthesis is closed that stands at `opening`; raises Refused."""
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


def unwrapped(text: str) -> str:
    """A query without the parentheses around it."""
    text = text.strip()
    while text.startswith("(") and closing_parenthesis(text, 0) == len(text) - 1:
        text = text[1:-1].strip()
    return text
