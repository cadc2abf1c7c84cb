"""What to do about the errors that a warehouse gives, by their words; for both environments."""

from __future__ import annotations

import re

# Of a conflict dbt passes on the number alone.
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
        "let the user of the build have it (include/aws/bootstrap.sql says what it needs), "
        "then clear the task",
    ),
    (
        r"incompatible parquet schema",
        "the file's type is another than the external table's: `make compact SOURCE=<source>` "
        "writes it anew with the declared one; then clear the task partitions with all below it",
    ),
    (
        r"nosuchkey|specified key does not exist",
        "a file of the lake went while it was read: clear the task partitions with all below it",
    ),
    (
        # And of this one not which file.
        r"spectrum scan error",
        "a file of the lake went, is of another type than its table, or may not be read by the "
        "role of Spectrum: clear the task partitions with all below it, which names the file; "
        "svl_s3log has Spectrum's own words",
    ),
    (
        r"accessdenied|access denied",
        "S3 or Glue refused the role of Spectrum: give it include/aws/policies/spectrum_role.json",
    ),
    (
        LOGIN,
        "the credentials are wrong or have expired: mend the secret of the connection, "
        "then clear the task, which reads it anew",
    ),
    (
        CONNECTION,
        "the connection to the warehouse was lost or refused: see that the cluster is up and its "
        "security group lets this machine in, then clear the task",
    ),
    (
        r"schema \"?[a-z0-9_]+\"? does not exist",
        "run include/aws/bootstrap.sql as an administrator",
    ),
)
"""Patterns of what a warehouse says, and the remedy; the first that is found counts."""


def is_transient(message: str) -> bool:
    """Whether an error may be gone when the same is tried again later, by its words."""
    return _found(f"{CONFLICT}|{CONNECTION}", message)


def is_refused_login(message: str) -> bool:
    """Whether the warehouse let nobody in, by its words."""
    return _found(LOGIN, message)


def remedy(message: str) -> str | None:
    """The remedy for an error by its words, without a full stop; None if none is known."""
    return next((text for pattern, text in REMEDIES if _found(pattern, message)), None)


def _found(pattern: str, message: str) -> bool:
    return re.search(pattern, message, re.IGNORECASE | re.MULTILINE) is not None
