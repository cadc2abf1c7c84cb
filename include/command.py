"""How a command of `make` or `python -m include.…` ends."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from include.settings import UserError


def command(main: Callable[[], int]) -> Callable[[], int]:
    """Make a command of `main`: what a user can cause is one sentence on stderr and exit code 1.

    A UserError without a text says nothing: a program that was started has told it.
    """

    @functools.wraps(main)
    def told() -> int:
        try:
            return main()
        except UserError as error:
            if str(error):
                print(f"error: {error}", file=sys.stderr)
            return 1

    return told
