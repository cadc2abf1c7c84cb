"""What a statement becomes, and how the rule for a kind of statement is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.redshift_standin.sql_text import FLAGS, NAME, PART, escapes_spelled_out, names_kept
from tests.redshift_standin.translation import Parsed

NOTHING = "do $standin$ begin end $standin$"
"""What PostgreSQL is told in the place of a statement that is not for it."""


@dataclass(frozen=True)
class ExternalCommand:
    """External DDL: run outside the client's session, by the package `spectrum`."""

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


Rule = Callable[[re.Match[str]], Statement]


class Rules(list[tuple[re.Pattern[str], Rule]]):
    """The rules for some kinds of statement; the first that fits is the statement's."""

    def add(self, *patterns: str) -> Callable[[Rule], Rule]:
        """A rule for what one of the patterns fits from end to end.

        In a pattern, NAME stands for a name, and PART for a part of one.
        """

        def register(function: Rule) -> Rule:
            for pattern in patterns:
                words = pattern.replace("NAME", NAME).replace("PART", PART)
                self.append((re.compile(words + r"\s*$", FLAGS), function))
            return function

        return register


def nothing(kind: str, tag: str, **more: Any) -> Statement:
    """A statement that succeeds without doing anything in PostgreSQL."""
    return Statement(kind, lambda _: NOTHING, tag=tag, **more)


def not_in_transaction(what: str) -> str:
    return f"{what} cannot run inside a transaction block"


def as_is(kind: str, sql: str, tag: str | None = None, **more: Any) -> Statement:
    """A statement that PostgreSQL takes as it is written."""
    return Statement(kind, lambda _: names_kept(escapes_spelled_out(sql)), tag=tag, **more)
