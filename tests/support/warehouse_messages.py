"""Messages of a warehouse that have a remedy."""

from __future__ import annotations

# The messages as dbt or the driver passes them on: only the first line of the server's message.
MESSAGES = (
    ("Database Error in model m (m.sql)\n  1023\n  compiled code at m.sql", "another transaction"),
    ("ERROR: 1023 DETAIL: Serializable isolation violation on table - 1", "another transaction"),
    ("Query (10234) cancelled on user's request", "raise the timeout"),
    ("Database Error in model m\n  Disk Full", "resize it"),
    ("permission denied for schema marts", "bootstrap.sql"),
    ("File 's3://b/k' has an incompatible Parquet schema for column 'c'", "make compact"),
    (
        "S3ServiceException: The specified key does not exist., Status 404",
        "deleted while it was read",
    ),
    ("Database Error in model m\n  Spectrum Scan Error", "svl_s3log"),
    ("S3ServiceException: Access Denied, Status 403", "policies/spectrum_role.json"),
    ('password authentication failed for user "dbt"', "correct the secret"),
    ("The security token included in the request is expired", "correct the secret"),
    ("BrokenPipe: server socket closed. Please check that", "security group"),
    ("('communication error', TimeoutError('timed out'))", "security group"),
    ('schema "operations" does not exist', "administrator"),
    ('relation "operations.changes_of_fct_bets" does not exist', "clear the task partitions"),
    ("Catalog Error: Table with name changes_of_fct_bets does not exist!", "task partitions"),
    ("column changes_of_fct_bets.is_built does not exist", "clear the task partitions"),
    ('Binder Error: Referenced column "is_built" not found in FROM clause!', "task partitions"),
    (
        "Compilation Error in model m (m.sql)\n  The source and target schemas on this incremental "
        "model are out of sync!\n  They can be reconciled in several ways:",
        "start a run with full_refresh",
    ),
    (
        "Runtime Error in model int_events (int_events.sql)\n  Out of Memory Error: failed to "
        "allocate data of size 32.0 MiB (950.1 MiB/953.6 MiB used)",
        "raise GAME_ANALYTICS_DUCKDB_MEMORY",
    ),
    (
        "Out of Memory Error: failed to offload data block of size 160.0 KiB (9.4 MiB/9.5 MiB "
        "used).\nThis limit was set by the 'max_temp_directory_size' setting.",
        "file on another disk",
    ),
    (
        'IO Error: Could not write file "w.duckdb.tmp/a": No space left on device',
        "file on another disk",
    ),
)
