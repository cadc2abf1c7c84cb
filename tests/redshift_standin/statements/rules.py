"""The classes and functions with which the rules for statements are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.redshift_standin.sql_text import (
    FLAGS,
    NAME,
    PART,
    with_escape_literals,
    with_short_names,
)
from tests.redshift_standin.translation import Parsed

NOTHING = "do $standin$ begin end $standin$"
"""PostgreSQL runs this instead of a statement that must have no effect in it."""


@dataclass(frozen=True)
class ExternalCommand:
    """External DDL, which the package `spectrum` runs outside the client's session.

    `refused_in_transaction` is the message of the refusal inside a transaction, if there is one.
    """

    action: str
    match: dict[str, Any]
    refused_in_transaction: str | None = None


@dataclass(frozen=True)
class Statement:
    """A statement that a rule matched.

    `wrap` makes PostgreSQL's statement of the translated `body`. Without a body, its argument is an
    empty text.
    """

    kind: str
    wrap: Callable[[str], str]
    body: Parsed | None = None
    tag: str | None = None
    external: ExternalCommand | None = None
    sets_query_group: str | None = None
    # The relation that a DROP or ALTER names. If the catalogue lists it as an external table,
    # `external_target` is run instead of the statement.
    target: str | None = None
    external_target: ExternalCommand | None = None
    refused_in_transaction: str | None = None
    # Whether the statement commits the transaction in which it runs.
    commits: bool = False


Rule = Callable[[re.Match[str]], Statement]


class Rules(list[tuple[re.Pattern[str], Rule]]):
    """The rules for some kinds of statement. The first rule that matches a statement applies."""

    def add(self, *patterns: str) -> Callable[[Rule], Rule]:
        """Register a rule for the statements that one of the patterns matches as a whole.

        In a pattern, NAME stands for a name, and PART for one part of a name.
        """

        def register(function: Rule) -> Rule:
            for pattern in patterns:
                words = pattern.replace("NAME", NAME).replace("PART", PART)
                self.append((re.compile(words + r"\s*$", FLAGS), function))
            return function

        return register


def nothing(kind: str, tag: str, **more: Any) -> Statement:
    """Return a statement that succeeds and has no effect in PostgreSQL."""
    return Statement(kind, lambda _: NOTHING, tag=tag, **more)


def not_in_transaction(what: str) -> str:
    return f"{what} cannot run inside a transaction block"


def as_is(kind: str, sql: str, tag: str | None = None, **more: Any) -> Statement:
    """Return a statement that PostgreSQL accepts as it is written."""
    return Statement(kind, lambda _: with_short_names(with_escape_literals(sql)), tag=tag, **more)
