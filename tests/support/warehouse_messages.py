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
)
