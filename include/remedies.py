"""The remedies for a warehouse's errors, found by the words of the error message."""

from __future__ import annotations

import re
from collections.abc import Iterable

# For a conflict, dbt passes on only the error number.
CONFLICT = r"^\s*1023\s*$|\b1023\b.*serializable|serializable isolation violation"
LOGIN = (
    r"password authentication failed"
    r"|(token|credentials?|password)[^.\n]{0,40} (has|have|is|are) expired"
)
CONNECTION = (
    r"(server|socket|connection) (is )?closed|connection (reset|refused)|broken ?pipe|\beof\b"
    r"|timed out|network socket|communication (link )?(error|failure)"
    r"|name or service not known|getaddrinfo"
)
REMEDIES = (
    (
        r"changes_of_[^\n]*does not exist|\bis_built\b[^\n]*(not exist|not found)",
        "the run's first step ran before the package was deployed: clear the task partitions and "
        "everything downstream of it",
    ),
    (
        r"schemas on this incremental model are out of sync",
        "the model has other columns than its table, and rows of earlier runs would lack their "
        "values: start a run with full_refresh (in the form, in the state machine's input, or "
        '`make build ARGS="--full-refresh"`)',
    ),
    (
        # DuckDB's message about a full disk begins with "Out of Memory Error", too.
        r"max_temp_directory_size|could not (write|sync)[^\n]* file",
        "the disk of the warehouse file is full, and DuckDB writes there what does not fit into "
        "its memory: make room, or set GAME_ANALYTICS_DUCKDB to a file on another disk, then "
        "clear the task",
    ),
    (
        r"out of memory error|failed to (allocate|pin|offload) [^\n]* of size",
        "DuckDB needs more than its memory limit, which the log shows: close other programs, "
        "give the container more memory, raise GAME_ANALYTICS_DUCKDB_MEMORY (for example 4GiB), "
        "or build fewer days at once (from and to of the form), then clear the task",
    ),
    (
        CONFLICT,
        "another transaction wrote the same table: clear the task, and keep other writers away "
        "from the schemas of the build",
    ),
    (
        r"statement timeout|canceled on user's request|cancelled on user's request",
        "the statement took longer than statement_timeout of this user: clear the task, or raise "
        "the timeout (include/aws/bootstrap.sql)",
    ),
    (
        r"disk full|no space left",
        "the cluster is full: free space (vacuum, drop old tables) or resize it, "
        "then clear the task",
    ),
    (
        r"permission denied",
        "grant it to the user of the build (include/aws/bootstrap.sql grants what it needs), "
        "then clear the task",
    ),
    (
        r"incompatible parquet schema",
        "a column has another type in the file than in the external table: `make compact "
        "SOURCE=<source>` rewrites the file with the declared type; then clear the task partitions "
        "and its downstream",
    ),
    (
        r"nosuchkey|specified key does not exist",
        "a file of the lake was deleted while it was read: clear the task partitions and its "
        "downstream",
    ),
    (
        # For this error, dbt passes on neither the cause nor the name of the file.
        r"spectrum scan error",
        "a file of the lake was deleted, has another type than its table, or is not readable for "
        "the role of Spectrum: clear the task partitions and its downstream, whose error names the "
        "file; the view svl_s3log has Spectrum's message",
    ),
    (
        r"accessdenied|access denied",
        "S3 or Glue refused the role of Spectrum: attach include/aws/policies/spectrum_role.json "
        "to it",
    ),
    (
        LOGIN,
        "the credentials are wrong or have expired: correct the secret of the connection, "
        "then clear the task, which reads the secret again",
    ),
    (
        CONNECTION,
        "the connection to the warehouse was lost or refused: check that the cluster is available "
        "and its security group allows this machine, then clear the task",
    ),
    (
        r"schema \"?[a-z0-9_]+\"? does not exist",
        "run include/aws/bootstrap.sql as an administrator",
    ),
)
"""Regular expressions for error messages, each with its remedy. The first match counts."""

KILLED = frozenset({-9, 137})
"""The exit codes of a process that signal 9 has ended: of the process itself, or of its shell."""


def killed(command: str, building: Iterable[str] = ()) -> str:
    """The error of a command that signal 9 has ended, with what it was building at its end."""
    names = ", ".join(building)
    place = f" while it built {names}" if names else ""
    return (
        f"{command} was killed by signal 9{place}. The kernel sends it when memory is used up: "
        "give the machine or the container more memory, close other programs, or set "
        "GAME_ANALYTICS_DUCKDB_MEMORY to less than is free (for example 1GiB), then run again."
    )


class Building:
    """The nodes that dbt has started and not ended, from the lines of its log."""

    _LINE = re.compile(r"\b(\d+) of \d+ (\S+) (?:.* )?(\S+) \.{2,} ?\[")

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def read(self, line: str) -> None:
        """Read a line of dbt's log, such as `3 of 9 START sql table model marts.a ... [RUN]`."""
        if found := self._LINE.search(line):
            number, what, name = found.groups()
            if what == "START":
                self._names[number] = name
            else:
                self._names.pop(number, None)

    def names(self) -> list[str]:
        """The names of the nodes and tests that run, in the order of their start."""
        return list(self._names.values())


def is_transient(message: str) -> bool:
    """Whether the error message is one that a later retry may not meet again."""
    return _found(f"{CONFLICT}|{CONNECTION}", message)


def is_refused_login(message: str) -> bool:
    """Whether the error message is that of a warehouse that refused user or password."""
    return _found(LOGIN, message)


def remedy(message: str) -> str | None:
    """The remedy for an error message, without a full stop; None if none is known."""
    return next((text for pattern, text in REMEDIES if _found(pattern, message)), None)


def _found(pattern: str, message: str) -> bool:
    return re.search(pattern, message, re.IGNORECASE | re.MULTILINE) is not None
