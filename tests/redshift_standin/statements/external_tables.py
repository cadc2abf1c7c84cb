"""Rules for external schemas, tables and partitions, and for COPY and UNLOAD, which are refused.

The package `spectrum` runs the external DDL.
"""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import unsupported_here
from tests.redshift_standin.statements.rules import (
    ExternalCommand,
    Rules,
    Statement,
    not_in_transaction,
    nothing,
)

rules = Rules()


@rules.add(
    r"create\s+external\s+schema\s+(?P<exists>if\s+not\s+exists\s+)?(?P<name>PART)\s+from\s+(?P<rest>.*)"
)
def create_external_schema(match: re.Match[str]) -> Statement:
    return nothing(
        "DDL", "CREATE SCHEMA", external=ExternalCommand("create_schema", match.groupdict())
    )


@rules.add(r"create\s+external\s+table\s+(?P<name>NAME)\s*(?P<rest>\(.*)")
def create_external_table(match: re.Match[str]) -> Statement:
    return nothing(
        "DDL",
        "CREATE EXTERNAL TABLE",
        external=ExternalCommand(
            "create_table",
            match.groupdict(),
            not_in_transaction("CREATE EXTERNAL TABLE"),
        ),
    )


@rules.add(
    r"alter\s+table\s+(?P<name>NAME)\s+add\s+(?P<exists>if\s+not\s+exists\s+)?(?P<partitions>partition\s*\(.*)",
)
def add_partition(match: re.Match[str]) -> Statement:
    return _altering("add_partitions", match)


@rules.add(r"alter\s+table\s+(?P<name>NAME)\s+drop\s+(?P<partitions>partition\s*\(.*)")
def drop_partition(match: re.Match[str]) -> Statement:
    return _altering("drop_partition", match)


@rules.add(
    r"alter\s+table\s+(?P<name>NAME)\s+(?P<partition>partition\s*\([^)]*\)\s*)?set\s+location\s+'(?P<location>[^']*)'",
    r"alter\s+table\s+(?P<name>NAME)\s+set\s+(?P<properties>table\s+properties\s*\(.*\))",
    r"alter\s+table\s+(?P<name>NAME)\s+set\s+file\s+format\s+(?P<format>\w+)",
)
def alter_external(match: re.Match[str]) -> Statement:
    return _altering("alter_table", match)


def _altering(action: str, match: re.Match[str]) -> Statement:
    refused = not_in_transaction("ALTER EXTERNAL TABLE")
    return nothing(
        "DDL", "ALTER TABLE", external=ExternalCommand(action, match.groupdict(), refused)
    )


@rules.add(r"copy\s+NAME\s*(?:\([^)]*\))?\s*from\s+'[^']*'.*")
def copy(_: re.Match[str]) -> Statement:
    raise unsupported_here("COPY. This project reads S3 through external tables")


@rules.add(r"unload\s*\(.*")
def unload(_: re.Match[str]) -> Statement:
    raise unsupported_here("UNLOAD")
