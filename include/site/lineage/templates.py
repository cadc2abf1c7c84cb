"""Finds the places where an expression has a given form, such as that of a macro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import exp

PLACEHOLDER = "personal_data"
"""The column of a template that stands for any expression, each time for the same one."""

PREDICATE = "predicate"
NULL_TEST = "null_test"
"""These two name a form that has no function: a comparison of any kind, and `is null`."""


class Forms:
    """The forms of expressions to look for, by name.

    `functions` gives the name of the form of each function, as sqlglot or SQL names it, and
    `templates` gives the SQL of a form by its name. Where there are any, `PREDICATE` and
    `NULL_TEST` are found, too.
    """

    def __init__(self, functions: Mapping[str, str], templates: Mapping[str, str], dialect: str):
        self.content = (sorted(functions.items()), sorted(templates.items()))
        self._functions = functions
        self._templates: dict[type[exp.Expr], list[tuple[str, exp.Expr]]] = {}
        for name, sql in templates.items():
            template = sqlglot.parse_one(sql, dialect=dialect).unalias()
            self._templates.setdefault(type(template), []).append((name, template))
        self._is_empty = not functions and not templates
        self._names_by_class: dict[type[exp.Expr], frozenset[str]] = {}

    def of(self, node: exp.Expr) -> frozenset[str]:
        """The names of all forms that this expression has."""
        if self._is_empty:
            return frozenset()
        found = self._by_class(node)
        for name, template in self._templates.get(type(node), ()):
            if _matches(template, node, {}):
                found |= {name}
        return found

    def _by_class(self, node: exp.Expr) -> frozenset[str]:
        if isinstance(node, exp.Anonymous):
            form = self._functions.get(node.name.lower())
            return frozenset({form} if form else ())
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return frozenset({NULL_TEST})
        names = self._names_by_class.get(type(node))
        if names is None:
            written = {node.key}
            if isinstance(node, exp.Func):
                written |= {name.lower() for name in node.sql_names()}
            names = frozenset(self._functions[name] for name in written if name in self._functions)
            names |= frozenset({PREDICATE} if isinstance(node, exp.Predicate) else ())
            self._names_by_class[type(node)] = names
        return names


def _matches(template: Any, node: Any, bound: dict[str, exp.Expr]) -> bool:
    if isinstance(template, exp.Column) and template.name == PLACEHOLDER:
        return bool(bound.setdefault(PLACEHOLDER, node) == node)
    if isinstance(template, exp.Expr):
        if type(template) is not type(node):
            return False
        keys = {key for key, value in template.args.items() if value}
        return keys == {key for key, value in node.args.items() if value} and all(
            _matches(template.args[key], node.args[key], bound) for key in keys
        )
    if isinstance(template, list):
        return len(template) == len(node) and all(
            _matches(*pair, bound) for pair in zip(template, node, strict=True)
        )
    return bool(template == node)


NO_FORMS = Forms({}, {}, "")
