"""The stand-in for an Amazon Redshift cluster: PostgreSQL behind a proxy of its wire protocol.

dbt's Python environment runs it. The unmodified dbt-redshift and redshift_connector connect to it
as they connect to Redshift, TLS included. A test on the stand-in can show these things:
- Which SQL Redshift accepts and which it refuses. A statement or function that the stand-in does
  not know is refused.
- Results where Redshift differs from PostgreSQL: varchar counts bytes, and trailing blanks do not
  count in comparisons; AVG and the division of integers give integers; decimals have 38 digits, and
  casts cut them; backslashes escape in literals; a select list may use its own aliases;
  late-binding views read with their owner's rights; keys are not enforced.
- Spectrum over real files on an S3 emulator: a query reads only registered partitions, the planner
  prunes them, the files are read as they are at the moment of the query, and types are as strict
  as Spectrum's. A log lists the partitions and files that each query read.
- Dynamic data masking: a query reads the masked value of a column, also through a late-binding
  view, and the rules for policies, priorities and widths hold.
- Transactions (external DDL is refused inside one), grants, cancellation and statement_timeout.
- Faults that a test injects, and a log of every statement. Any process can use both.

The stand-in cannot show these things:
- IAM, WLM queues, real 1023 conflicts, SUPER navigation, the result cache, the effect of
  distribution and sort keys, and timing.
- Masking of a relation that is read through a bound or materialized view, by a lookup table or by a
  policy with several inputs.
- That Spectrum reads only the queried columns. The stand-in refuses a file with any bad column.
- The exact varchar length that Redshift gives an expression in CREATE TABLE AS. The stand-in gives
  the widest.
- Snapshot isolation. The stand-in uses PostgreSQL's read committed, because a statement must see
  the rows that the loader of external tables commits while the statement waits. Therefore a
  transaction can see what other transactions commit, which Redshift hides.

| file or folder | what it holds |
|---|---|
| `refusals.py`, `sql_text.py`, `column_types.py` | what all other modules import |
| `translation/` | SELECT and DML: Redshift's SQL is parsed to a tree and written as PostgreSQL's |
| `statements/` | a rule for each kind of statement |
| `spectrum/` | external tables, and the loading of the files that a query reads |
| `control.py` | the injected faults and the log of statements, in a folder for all processes |
| `wire/` | the protocol between clients and PostgreSQL |
| `functions.sql`, `catalog.sql` | Redshift's functions and system tables, in PostgreSQL |
| `cluster.py` | starts PostgreSQL and the proxy before it |
| `conformance/` | documented results of statements, which run here or on a real cluster |

Each row imports only from the rows above it.
"""

from tests.redshift_standin.cluster import Cluster, Unavailable
from tests.redshift_standin.control import Fault, Query, Scan

__all__ = ["Cluster", "Fault", "Query", "Scan", "Unavailable"]
