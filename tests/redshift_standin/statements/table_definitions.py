"""What CREATE TABLE says of a table: its columns, and how it is distributed, sorted and encoded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.redshift_standin.column_types import column_type
from tests.redshift_standin.refusals import Refused, syntax_error
from tests.redshift_standin.sql_text import FLAGS, NAME, PART, parts_of, quoted, split_list


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


# As the catalogue shows them.
ENCODINGS = {
    "raw": "none", "az64": "az64", "bytedict": "bytedict", "delta": "delta",
    "delta32k": "delta32k", "lzo": "lzo", "mostly8": "mostly8", "mostly16": "mostly16",
    "mostly32": "mostly32", "runlength": "runlength", "text255": "text255",
    "text32k": "text32k", "zstd": "zstd",
}  # fmt: skip


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
