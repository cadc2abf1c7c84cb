"""A throw-away stand-in for an Amazon Redshift cluster: PostgreSQL behind a proxy of its wire
protocol.

The unmodified dbt-redshift and redshift_connector take it for Redshift, TLS included. It shows
- which SQL Redshift takes and which it refuses: statements and functions are denied unless they are
known;
- Redshift's meaning where PostgreSQL has another: varchar in bytes and without trailing blanks, AVG
and division of integers, decimals of 38 digits, casts that cut them, backslashes in literals,
aliases beside themselves, late-binding views with their owner's rights, informational keys;
- Spectrum over real files on an S3 emulator: registered partitions alone, pruned by the planner,
files as they are at the moment of the query, types as strict as Spectrum's; which partitions and
files each query read;
- transactions (external DDL is refused in one), grants, cancellation, statement_timeout;
- faults on demand, and a log of every statement, for tests in any process.

It cannot show IAM, WLM queues, real 1023 conflicts, SUPER navigation, the result cache,
distribution and sort keys at work, Spectrum's reading of the queried columns alone (a file with any
bad column is refused), the exact varchar length that Redshift gives an expression in CREATE TABLE
AS (here the widest), and timing. Isolation is PostgreSQL's read committed, for what the loader of
external tables commits must be seen by the statement that waits for it; a transaction may thus see
what others commit, which Redshift's snapshot isolation hides.

| here | lies |
|---|---|
| `refusals.py`, `sql_text.py`, `column_types.py` | what all others import |
| `translation/` | SELECT and DML, from Redshift's SQL by way of a tree to PostgreSQL's |
| `statements/` | what a statement is: a rule for each kind |
| `spectrum/` | external tables, and what a query reads of their files |
| `control.py` | faults to come and the log of statements, in a folder for all processes |
| `wire/` | the protocol, between clients and PostgreSQL |
| `functions.sql`, `catalog.sql` | Redshift's functions and system tables, in PostgreSQL |
| `cluster.py` | PostgreSQL started, with the proxy in front of it |
| `conformance/` | what Redshift's documentation says, to be run here or on a real cluster |

Each imports only from those above it.
"""

from tests.redshift_standin.cluster import Cluster, Unavailable
from tests.redshift_standin.control import Fault, Query, Scan

__all__ = ["Cluster", "Fault", "Query", "Scan", "Unavailable"]
