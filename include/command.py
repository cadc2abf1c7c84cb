"""The decorator of each command of `make` and `python -m include.…`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from include.settings import UserError


def command(main: Callable[[], int]) -> Callable[[], int]:
    """Make `main` a command: a UserError becomes one sentence on stderr and exit code 1.

    A UserError without a text prints nothing, because a program that the command started has
    already printed the error.
    """

    @functools.wraps(main)
    def run() -> int:
        try:
            return main()
        except UserError as error:
            if str(error):
                print(f"error: {error}", file=sys.stderr)
            return 1

    return run
