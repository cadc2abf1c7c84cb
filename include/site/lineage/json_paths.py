"""The path inside of a JSON text, a struct or a list that an expression reads.

A path is a tuple of keys (`str`), places from 0 on (`int`) and `ANY`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.jsonpath import parse as parse_json_path


class _Any:
    """Stands for any key or place, because the expression computes it."""

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()

Part = str | int | _Any
Path = tuple[Part, ...]


def shown(path: Path) -> str:
    """Write a path as text: `a.b[0].c`; any key or place is `[*]`."""
    text = ""
    for part in path:
        if isinstance(part, str):
            text += f".{part}" if text else part
        else:
            text += f"[{'*' if part is ANY else part}]"
    return text


def of_extract(extract: exp.Expr) -> Path | list[Path] | None:
    """The path that `json_extract` and its kin read, or the list of paths; None if it is computed.

    Redshift's `json_extract_path_text(json, 'a', 'b', true)` has a key per argument.
    """
    expression = extract.args.get("expression")
    if isinstance(expression, exp.JSONPath):
        return _parts(expression)
    if isinstance(expression, exp.Array):
        paths = [_of_text(element) for element in expression.expressions]
        return [path for path in paths if path is not None] if None not in paths else None
    if isinstance(expression, exp.Literal) and expression.name.startswith("$"):
        return _of_text(expression)
    keys = [expression, *(extract.args.get("expressions") or ())]
    keys = [key for key in keys if key is not None and not isinstance(key, exp.Boolean)]
    if all(isinstance(key, exp.Literal) for key in keys):
        return tuple(key.name if key.is_string else int(key.name) for key in keys)
    return None


def of_index(index: exp.Expr) -> Part:
    """The place or key that an index in brackets reads.

    `json_extract(json, '$.*')[list_position(json_keys(json), 'key')]` is how DuckDB reads the last
    of several equal keys.
    """
    if isinstance(index, exp.Literal):
        return index.name if index.is_string else int(index.name)
    if index.find(exp.JSONKeys):
        for call in index.find_all(exp.Anonymous):
            key = call.expressions[-1] if call.expressions else None
            if call.name.lower() == "list_position" and isinstance(key, exp.Literal):
                return key.name
    return ANY


def inside_of_built(concatenation: exp.DPipe | exp.Concat, path: Path) -> exp.Expr | None:
    """The expression that `path` reads of `'{"key":' || expression || '}'`, or None."""
    parts = _operands(concatenation)
    if len(parts) == 3 and path and [part.is_string for part in parts] == [True, False, True]:
        is_key = parts[0].name.replace(" ", "") == f'{{"{path[0]}":'
        if is_key and parts[2].name.strip() == "}":
            return parts[1]
    return None


def _operands(concatenation: exp.Expr) -> Sequence[exp.Expr]:
    if isinstance(concatenation, exp.DPipe):
        return list(concatenation.flatten())
    return concatenation.expressions


def _of_text(text: exp.Expr) -> Path | None:
    try:
        return _parts(parse_json_path(text.name)) if text.is_string else None
    except SqlglotError:
        return None


def _parts(path: exp.JSONPath) -> Path:
    found: list[Part] = []
    for part in path.expressions:
        if isinstance(part, exp.JSONPathKey | exp.JSONPathSubscript):
            inner = part.this
            found.append(inner if isinstance(inner, str | int) else ANY)
        elif not isinstance(part, exp.JSONPathRoot):
            found.append(ANY)
    return tuple(found)
