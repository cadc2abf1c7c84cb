"""The decorator of each command of `make` and `python -m include.…`."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable

from include.engine_text import without_values
from include.settings import UserError

ERROR = "error: "
"""The start of the line with a command's error. The line holds no value of a file."""


def command(main: Callable[[], int]) -> Callable[[], int]:
    """Make `main` a command: an error becomes the last line on stderr and exit code 1.

    A UserError is one sentence, without a traceback. A UserError without a text prints nothing,
    because a program that the command started has already printed the error. Any other error is a
    bug, and has its traceback. The last line becomes the error of the task, which an alert sends
    on, so the text of a bug is masked there.
    """

    @functools.wraps(main)
    def run() -> int:
        try:
            return main()
        except UserError as error:
            if str(error):
                print(f"{ERROR}{error}", file=sys.stderr)
            return 1
        except Exception as error:  # noqa: BLE001 - the last line must be masked for any bug
            traceback.print_exc()
            print(f"{ERROR}{type(error).__name__}: {without_values(str(error))}", file=sys.stderr)
            return 1

    return run
