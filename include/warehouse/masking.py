"""Dynamic data masking on Redshift: hides the identifiers of the marts from their readers.

A masked identifier is the start of a keyed hash. Equal ids have equal hashes in all marts, so
readers can count players and join marts. The policies are attached to PUBLIC. The user that builds,
and the users and roles of setting UNMASKED_READERS, have a policy with a higher priority that
changes nothing.

`prepare_masking` runs before dbt. It makes the policies, and attaches them to the tables that
exist. The macro `mask_identifiers` attaches them to a table that dbt makes, in the transaction that
makes it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.database import Database

MASKED_LENGTH = 32
"""Hexadecimal digits of a masked value; 128 bits, so that no two ids have the same one."""
PRIORITIES = {"unmasked": 20, "masked": 10}
"""The priorities of the policies. Redshift applies the one with the highest to a user."""
ROLE_IS_MISSING = (
    "run `grant role sys:secadmin to {user}` as a superuser, or set "
    "GAME_ANALYTICS_UNMASKED_READERS to everyone"
)


@dataclass(frozen=True, order=True)
class Identifier:
    """A column of a mart whose mark is `identifier`. Tables and columns are in lower case."""

    table: str
    column: str
    data_type: str


@dataclass(frozen=True, order=True)
class Attachment:
    """A policy on a column. `grantee` is a name, and `kind` is `user`, `role` or `public`."""

    policy: str
    table: str
    column: str
    kind: str
    grantee: str


def identifiers(manifest: Manifest) -> list[Identifier]:
    """The columns of the marts whose mark of personal data is `identifier`.

    Only the marts have readers. A test compares the declared marks with those that column lineage
    finds, so the declared ones are complete.
    """
    return sorted(
        Identifier(
            (node.get("alias") or node["name"]).lower(),
            column["name"].lower(),
            str(column.get("data_type") or "").lower(),
        )
        for node in manifest.nodes.values()
        if node["resource_type"] in {"model", "seed", "snapshot"}
        and node.get("config", {}).get("schema") == "marts"
        for column in node["columns"].values()
        if (column.get("config", {}).get("meta") or {}).get("personal_data") == "identifier"
    )


def policy_name(settings: Settings, kind: str, data_type: str) -> str:
    """The name of a policy, such as `game_analytics_masked_varchar_1024`.

    `kind` is `masked` or `unmasked`. Policies belong to the database and not to a schema, so the
    schema prefix is a part of the name.
    """
    type_name = re.sub(r"[^a-z0-9]+", "_", data_type.lower()).strip("_")
    return f"{settings.schema_prefix}game_analytics_{kind}_{type_name}"


def prepare_masking(database: Database, settings: Settings, manifest: Manifest) -> None:
    """Make the masking policies, and attach them to the identifiers of the marts that exist.

    Does nothing on DuckDB. With UNMASKED_READERS `everyone`, the policies are detached. Raises
    UserError if the user may not mask, for an identifier that cannot be masked, and if a policy
    that somebody else attached would mask a column for the user that builds.
    """
    if settings.target == "local":
        return
    schema = f"{settings.schema_prefix}marts"
    ((user,),) = database.rows("select current_user")
    attached = _attached(database, schema)
    found = {one for one in attached if _is_own(settings, one)}
    _refuse_masks_of_others(settings, attached, str(user))
    wanted: set[Attachment] = set()
    if settings.unmasked_readers != "everyone":
        columns = identifiers(manifest)
        _make_policies(database, settings, columns)
        existing = {
            Identifier(str(table), str(column), f"varchar({length})")
            for table, column, length in database.rows(
                "select table_name, column_name, character_maximum_length "
                "from information_schema.columns where table_schema = ?",
                [schema],
            )
        }
        for one in columns:
            if one in existing:
                wanted |= _wanted(settings, one, str(user))
            else:
                # A column with another type than declared keeps its policies until it is rebuilt.
                place = (one.table, one.column)
                wanted |= {old for old in found if (old.table, old.column) == place}
    _change(database, schema, wanted, found)


def _wanted(settings: Settings, one: Identifier, user: str) -> set[Attachment]:
    """The attachments of an identifier: a mask for everyone, and the exemptions from it."""
    exempt = [("user", user)]
    if settings.unmasked_readers != "nobody":
        exempt += [
            (kind, name)
            for kind, _, name in (r.partition(":") for r in settings.unmasked_readers.split(","))
        ]
    unmasked = policy_name(settings, "unmasked", one.data_type)
    masked = policy_name(settings, "masked", one.data_type)
    return {
        *(Attachment(unmasked, one.table, one.column, kind, name) for kind, name in exempt),
        Attachment(masked, one.table, one.column, "public", "public"),
    }


def _attached(database: Database, schema: str) -> dict[Attachment, int]:
    """All attachments of a schema with their priorities; none for a user who may not see them."""
    return {
        Attachment(str(policy), str(table), column, str(kind), str(grantee)): int(priority)
        for policy, table, kind, grantee, columns, priority in database.rows(
            "select policy_name, table_name, grantee_type, grantee, output_columns, priority "
            "from svv_attached_masking_policy where schema_name = ?",
            [schema],
        )
        for column in json.loads(columns)
    }


def _is_own(settings: Settings, one: Attachment) -> bool:
    start = f"{settings.schema_prefix}game_analytics_"
    return one.policy.startswith((f"{start}masked_", f"{start}unmasked_"))


def _refuse_masks_of_others(
    settings: Settings, attached: Mapping[Attachment, int], user: str
) -> None:
    """Raise UserError if another policy for everyone masks a column for the user that builds.

    Models read marts, so the run would compute with masked values.
    """
    for one, priority in sorted(attached.items()):
        if one.kind != "public" or _is_own(settings, one):
            continue
        is_exempt = any(
            (other.table, other.column) == (one.table, one.column)
            and (other.kind, other.grantee) == ("user", user)
            and higher > priority
            for other, higher in attached.items()
        )
        if not is_exempt:
            raise UserError(
                f"masking policy {one.policy} hides column {one.column} of mart {one.table} from "
                f"user {user}, which builds, so the marts would have wrong figures: detach it, or "
                f"attach a policy that changes nothing to user {user} with a higher priority."
            )


def _change(
    database: Database, schema: str, wanted: set[Attachment], found: set[Attachment]
) -> None:
    """Attach and detach in one transaction, so that no query sees a state between."""
    if wanted == found:
        return
    with database.transaction():
        for one in sorted(found - wanted):
            database.execute(
                f'detach masking policy "{one.policy}" on {_place(schema, one)} '
                f"from {_grantee(one)}"
            )
        for one in sorted(wanted - found):
            priority = PRIORITIES["masked" if one.kind == "public" else "unmasked"]
            database.execute(
                f'attach masking policy "{one.policy}" on {_place(schema, one)} '
                f"to {_grantee(one)} priority {priority}"
            )


def _place(schema: str, one: Attachment) -> str:
    return f'{schema}."{one.table}" ("{one.column}")'


def _grantee(one: Attachment) -> str:
    if one.kind == "public":
        return "public"
    name = one.grantee.replace('"', '""')
    return f'role "{name}"' if one.kind == "role" else f'"{name}"'


def _make_policies(database: Database, settings: Settings, columns: Iterable[Identifier]) -> None:
    """Create the policies that are missing, two for each type of an identifier."""
    lengths: dict[str, int] = {}
    for one in columns:
        varchar = re.fullmatch(r"varchar\((\d+)\)", one.data_type)
        if not varchar or int(varchar[1]) < MASKED_LENGTH:
            raise UserError(
                f"column {one.column} of mart {one.table} is an identifier of type "
                f"{one.data_type or 'unknown'}, which cannot hold a masked value: declare it as "
                f"varchar({MASKED_LENGTH}) or longer in the model's YAML, or set "
                "GAME_ANALYTICS_UNMASKED_READERS to everyone."
            )
        lengths[one.data_type] = int(varchar[1])
    known = _policies(database)
    salt = _salt(settings, known)
    hashed = f"cast(left(sha2(value || '{salt}', 256), {MASKED_LENGTH}) as varchar({{length}}))"
    needed = {
        policy_name(settings, kind, data_type): f"with (value {data_type}) using ({expression})"
        for data_type, length in lengths.items()
        for kind, expression in (("unmasked", "value"), ("masked", hashed.format(length=length)))
    }
    for name in sorted(needed.keys() - known.keys()):
        _create(database, f'create masking policy "{name}" {needed[name]}')
    # A user without the role sees no row of the view, whatever there is.
    if not needed.keys() <= _policies(database).keys():
        raise _refused(database, "it does not see the masking policies that it needs")


def _policies(database: Database) -> dict[str, str]:
    return {
        str(name): str(expression)
        for name, expression in database.rows(
            "select policy_name, policy_expression from svv_masking_policy"
        )
    }


def _salt(settings: Settings, known: dict[str, str]) -> str:
    """The salt of the policies that exist, so that equal ids of all types have equal hashes."""
    start = f"{settings.schema_prefix}game_analytics_masked_"
    for name in sorted(known):
        salt = re.search(r"[0-9a-f]{64}", known[name])
        if name.startswith(start) and salt:
            return salt[0]
    return secrets.token_hex(32)


def _create(database: Database, statement: str) -> None:
    try:
        database.execute(statement)
    except UserError as error:
        # The text of the error may contain the statement, and with it the salt.
        text = re.sub(r"[0-9a-f]{64}", "***", str(error)).rstrip(".")
        raise _refused(database, text) from None


def _refused(database: Database, reason: str) -> UserError:
    ((user,),) = database.rows("select current_user")
    return UserError(
        f"user {user} cannot mask the identifiers of the marts ({reason}): "
        f"{ROLE_IS_MISSING.format(user=user)}."
    )
