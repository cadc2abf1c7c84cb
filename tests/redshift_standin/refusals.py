"""Refusals: the errors of Redshift, with their SQLSTATE and message."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - it is an answer of Redshift and not a failure
    """The error with which Redshift refuses a statement."""

    def __init__(self, sqlstate: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail


def syntax_error(near: str) -> Refused:
    return Refused("42601", f'syntax error at or near "{near}"')


def unsupported_here(what: str) -> Refused:
    """Return the error for a statement that only the stand-in cannot run.

    Redshift may accept the statement, so the message names the stand-in.
    """
    return Refused("0A000", f"The Redshift stand-in does not support {what}")


def scan_error(code: int, context: str) -> Refused:
    """Return the error of a query that cannot read an external file."""
    line = "-----------------------------------------------"
    return Refused(
        "XX000",
        "Spectrum Scan Error",
        f"\n  {line}\n  error:  Spectrum Scan Error\n  code:      {code}\n  context:   {context}\n"
        f"  query:     0\n  location:  dory_util.cpp:1777\n  process:   worker_thread "
        f"[pid=0]\n  {line}\n",
    )
