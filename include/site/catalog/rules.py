"""The rules that protect the data, as the warehouse and the lake's bucket have them now."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.object_store import AwsError, aws_errors, s3_client
from include.settings import Settings
from include.warehouse.database import Database


@dataclass(frozen=True)
class Mask:
    """The masking policy of a column that applies to everyone, and who is exempt from it.

    The names of exempt users and roles are such as `role:fraud`.
    """

    policy: str
    exempt: Sequence[str] = ()


@dataclass(frozen=True)
class Rules:
    """What Redshift's catalog says about grants and masks.

    `grants` has the names that may read a table, such as `role:analysts`, by schema and table.
    `masks` has the masks by schema and table and by column. Redshift shows only superusers the
    grants to all others, and only security administrators the masks.
    """

    user: str = ""
    sees_all_grants: bool = False
    sees_masks: bool = False
    grants: Mapping[str, Sequence[str]] = field(default_factory=dict)
    masks: Mapping[tuple[str, str], Mask] = field(default_factory=dict)


@dataclass(frozen=True)
class Expirations:
    """The enabled lifecycle rules of the lake's bucket that delete objects.

    `days` has the days by id and prefix of a rule. `error` says why they cannot be read.
    """

    days: Mapping[tuple[str, str], int] = field(default_factory=dict)
    error: str = ""


def read_rules(database: Database) -> Rules:
    """Read grants and masks from Redshift. Raises UserError if a query is refused."""
    ((user, is_superuser),) = database.rows(
        "select usename, usesuper from pg_user where usename = current_user"
    )
    grants: dict[str, list[str]] = defaultdict(list)
    for schema, table, kind, name in database.rows(
        "select namespace_name, relation_name, identity_type, identity_name "
        "from svv_relation_privileges where privilege_type = 'SELECT'"
    ):
        if (str(kind), str(name)) != ("user", str(user)):
            grants[f"{schema}.{table}"].append("public" if kind == "public" else f"{kind}:{name}")
    attached = database.rows(
        "select schema_name, table_name, output_columns, policy_name, grantee_type, grantee, "
        "priority from svv_attached_masking_policy"
    )
    return Rules(
        user=str(user),
        sees_all_grants=bool(is_superuser),
        # A user without the right sees no policy at all.
        sees_masks=bool(database.rows("select policy_name from svv_masking_policy")),
        grants={table: sorted(set(names)) for table, names in grants.items()},
        masks=_masks(attached),
    )


def _masks(attached: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], Mask]:
    """The masks by place: of each column the one for PUBLIC with the highest priority."""
    by_column: dict[tuple[str, str], list[tuple[int, str, str, str]]] = defaultdict(list)
    for schema, table, columns, policy, kind, grantee, priority in attached:
        for column in json.loads(columns):
            entry = (int(priority), str(policy), str(kind), str(grantee))
            by_column[f"{schema}.{table}", column].append(entry)
    found = {}
    for place, entries in by_column.items():
        for_everyone = [entry for entry in entries if entry[2] == "public"]
        if for_everyone:
            priority, policy, _, _ = max(for_everyone)
            exempt = {f"{kind}:{name}" for higher, _, kind, name in entries if higher > priority}
            found[place] = Mask(policy, sorted(exempt))
    return found


def read_expirations(settings: Settings) -> Expirations:
    """Read the lifecycle rules of the lake's bucket; none for a lake in a folder."""
    if not settings.is_s3:
        return Expirations()
    bucket = settings.lake.removeprefix("s3://").partition("/")[0]
    try:
        with aws_errors(f"the lifecycle rules of s3://{bucket}", "read"):
            client = s3_client(settings.lake_owner)
            answer = client.get_bucket_lifecycle_configuration(Bucket=bucket)
    except AwsError as error:
        if error.code == "NoSuchLifecycleConfiguration":
            return Expirations()
        return Expirations(error=f"{error.code} for the lifecycle rules of the bucket")
    return Expirations(
        {
            (str(rule.get("ID", "")), _prefix(rule)): int(rule["Expiration"]["Days"])
            for rule in answer["Rules"]
            if rule["Status"] == "Enabled"
            and "Days" in rule.get("Expiration", {})
            # A rule with tags or sizes does not delete every object below its prefix.
            and not (set(rule.get("Filter", {})) - {"Prefix"})
        }
    )


def _prefix(rule: Mapping[str, Any]) -> str:
    return str(rule.get("Filter", {}).get("Prefix") or rule.get("Prefix") or "")
