"""The remedies for a warehouse's errors, found by the words of the error message."""

from __future__ import annotations

import re

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
