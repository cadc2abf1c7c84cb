"""A refusal: Redshift's error, with its SQLSTATE and message."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - it is no error of the stand-in's
    """A statement that Redshift answers with an error."""

    def __init__(self, sqlstate: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail


def syntax_error(near: str) -> Refused:
    return Refused("42601", f'syntax error at or near "{near}"')


def unsupported_here(what: str) -> Refused:
    """A limit of the stand-in's own, said as such: Redshift might take the statement."""
    return Refused("0A000", f"redshift stand-in: {what}")


def scan_error(code: int, context: str) -> Refused:
    """What a query says of an external file that it cannot read."""
    line = "-----------------------------------------------"
    return Refused(
        "XX000",
        "Spectrum Scan Error",
        f"\n  {line}\n  error:  Spectrum Scan Error\n  code:      {code}\n  context:   {context}\n"
        f"  query:     0\n  location:  dory_util.cpp:1777\n  process:   worker_thread "
        f"[pid=0]\n  {line}\n",
    )
