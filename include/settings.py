"""The settings of the package: one frozen object, which only `from_env` reads from variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds `include/` and `dbt/`: the checkout, or `dags/` on MWAA."""
PACKAGED = (ROOT / "game_analytics.py").is_file()
"""Whether this is the package that `make package` makes. Its DAG file is in `ROOT`."""
AIRFLOW_VERSION = ROOT / "include" / "airflow_version.txt"
"""The file with the version of Airflow for which the package was made; a checkout has none."""

PREFIX = "GAME_ANALYTICS_"
AIRFLOW_PREFIX = "AIRFLOW__GAME_ANALYTICS__"


class UserError(Exception):
    """An error that a user can cause and repair: one sentence with the thing and the remedy."""


class SettingError(UserError):
    """A setting has a value that cannot work."""

    def __init__(self, name: str, value: str, remedy: str) -> None:
        super().__init__(f"{PREFIX}{name} is {value!r}: {remedy}")


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def check(name: str, value: str) -> str:
        if value not in choices:
            raise SettingError(name, value, f"set it to one of {', '.join(choices)}.")
        return value

    return check


def _matching(pattern: str, meaning: str) -> Callable[[str, str], str]:
    def check(name: str, value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise SettingError(name, value, f"set it to {meaning}.")
        return value

    return check


PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@once")
"""Airflow's names for schedules."""


DAILY = "30 4 * * *"
"""The default schedule."""


def _schedule(name: str, value: str) -> str:
    """Accept `none`, a preset or five cron fields."""
    if value in {"none", DAILY} or value in PRESETS:
        return value
    # Imported here because its import takes 0.1 s and starts the program `uname`.
    from croniter import croniter

    # `strict` refuses dates that never come, such as the 30th of February: Airflow would search
    # for the next one forever.
    if len(value.split()) == 5 and croniter.is_valid(value, strict=True):
        return value
    raise SettingError(
        name, value, f"set it to five cron fields such as 30 4 * * *, {', '.join(PRESETS)} or none."
    )


def _place(name: str, value: str) -> str:
    """Accept a folder or an S3 prefix; returns it absolute, and without a slash at the end."""
    if value.startswith("s3://"):
        prefix = value.rstrip("/")
        # In S3 a doubled slash means a folder with an empty name, and Spectrum finds no file in it.
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[\w!.*'()=-]+)*", prefix):
            raise SettingError(name, value, "set it to s3://<bucket>/<prefix>, without // in it.")
        return prefix
    return _absolute(name, value)


def _ids(kind: str) -> Callable[[str, str], str]:
    def check(name: str, value: str) -> str:
        ids = [text.strip() for text in value.split(",") if text.strip()]
        for text in ids:
            if not re.fullmatch(rf"{kind}-[0-9a-f]{{8,17}}", text):
                raise SettingError(name, value, f"set it to ids such as {kind}-0123456789abcdef0.")
        return ",".join(ids)

    return check


def _grantees(name: str, value: str) -> str:
    names = [grantee.strip() for grantee in value.split(",") if grantee.strip()]
    for grantee in names:
        # Names of an identity provider and of IAM have colons, hyphens, dots and capital letters.
        if not re.fullmatch(r"(?:user|group|role):[A-Za-z_][A-Za-z0-9_$:.@/+=-]{0,126}", grantee):
            raise SettingError(
                name,
                value,
                "set it to names such as role:analysts, group:bi, user:IAMR:report, without "
                "quotes or spaces in them.",
            )
    return ",".join(names)


def _unmasked(name: str, value: str) -> str:
    """Accept `everyone`, `nobody`, or users and roles. Redshift masks nothing for a group."""
    if value in {"everyone", "nobody"}:
        return value
    if not value or re.search(r"(?:^|,)\s*group:", value):
        raise SettingError(
            name,
            value,
            "set it to everyone, nobody, or users and roles such as role:fraud,user:ann. Redshift "
            "cannot exempt a group.",
        )
    return _grantees(name, value)


def _absolute(name: str, value: str) -> str:
    if not value:
        raise SettingError(name, value, "set it to a path.")
    return str((ROOT / Path(value).expanduser()).resolve())


def _backend(name: str, value: str) -> str:
    """Accept an address without user, password and query; returns it without a slash at the end."""
    address = value.rstrip("/")
    if address and not re.fullmatch(
        r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?", address
    ):
        raise SettingError(
            name,
            # Only such a text can hold a password or a key.
            "***" if re.search("[@?#]", address) else value,
            "set it to https://<host>:<port>/<path> without user, password and query, or leave it "
            "empty. The key of the backend is the variable OPENLINEAGE_API_KEY.",
        )
    return address


def _past_day(name: str, value: str) -> str:
    """Accept a day from 1970 on that has begun; an event cannot be older than its epoch."""
    remedy = "set it to a day such as 2010-01-01, from 1970-01-01 to today."
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise SettingError(name, value, remedy) from None
    # `fromisoformat` also accepts 20100101, which SQL would not.
    if str(day) != value or not date(1970, 1, 1) <= day <= datetime.now(UTC).date():
        raise SettingError(name, value, remedy)
    return value


def _days(name: str, value: str) -> str:
    if value and not re.fullmatch(r"[1-9][0-9]{0,4}", value):
        raise SettingError(name, value, "set it to a number of days from 1, or leave it empty.")
    return value


@dataclass(frozen=True)
class Settings:
    """One field per setting: its name in lower case. `CHECKS` defines which values are valid.

    Paths are absolute. `lake` and `docs` are folders, or S3 prefixes without a slash at the end.
    `lake_owner` and `docs_owner` are the ids of the accounts that own their buckets, empty for any.
    `readers` lists the users, groups and roles that may read the marts, separated by commas.
    `unmasked_readers` lists the users and roles for which identifiers in the marts are not masked,
    or is `everyone` or `nobody`.
    `earliest_date` is an ISO date. `late_days` is empty (the whole lake) or a number of days as
    text, `docs_days` is a number of days as text. `allow_lost_rows` is `1` or empty.
    `duckdb_memory` is empty (computed from the machine) or a size in MiB or GiB. `ecs_subnets` and
    `ecs_security_groups` are ids, separated by commas. `openlineage_url` is an address without a
    password, empty if no lineage is sent.
    """

    lake: str = "data/lake"
    lake_owner: str = ""
    docs: str = "data/site"
    docs_owner: str = ""
    docs_days: str = "90"
    duckdb: str = "data/warehouse.duckdb"
    duckdb_memory: str = ""
    target: str = "local"
    execution: str = "watcher"
    schedule: str = DAILY
    reporting_currency: str = "USD"
    earliest_date: str = "2010-01-01"
    schema_prefix: str = ""
    connection_id: str = "redshift_default"
    glue_database: str = "game_analytics"
    spectrum_role: str = "default"
    readers: str = ""
    unmasked_readers: str = "everyone"
    late_days: str = ""
    allow_lost_rows: str = ""
    ecs_cluster: str = "game-analytics"
    ecs_task_definition: str = "game-analytics-dbt"
    ecs_subnets: str = ""
    ecs_security_groups: str = ""
    ecs_log_group: str = "/ecs/game-analytics"
    state_machine_arn: str = ""
    alert_topic_arn: str = ""
    deadline_minutes: str = "120"
    openlineage_url: str = ""
    openlineage_namespace: str = "game_analytics"
    dbt_executable: str = ".venv/dbt/bin/dbt"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read `GAME_ANALYTICS_<NAME>`, else `AIRFLOW__GAME_ANALYTICS__<NAME>`, else the default.

        Raises SettingError for a value that cannot work, and for a variable whose name is no
        setting.
        """
        names = {field.name.upper(): field for field in fields(cls)}
        given: dict[str, str] = {}
        for prefix in (AIRFLOW_PREFIX, PREFIX):
            for variable, value in environ.items():
                if variable.startswith(prefix):
                    name = variable.removeprefix(prefix)
                    if name not in names:
                        raise SettingError(
                            name, value, f"there is no such setting; there are {', '.join(names)}."
                        )
                    given[name] = value
        settings = cls(
            **{
                field.name: CHECKS[name](name, given.get(name, str(field.default)).strip())
                for name, field in names.items()
            }
        )
        if settings.is_s3 and settings.target == "local":
            raise SettingError(
                "LAKE", settings.lake, "an S3 lake needs GAME_ANALYTICS_TARGET=redshift."
            )
        if settings.target == "redshift" and not settings.is_s3:
            raise SettingError(
                "LAKE", settings.lake, "Redshift reads only S3: set it to s3://<bucket>/<prefix>."
            )
        if settings.runs_on_ecs:
            settings._check_ecs()
        return settings

    def _check_ecs(self) -> None:
        """Raise SettingError if a container would need a file or a folder of this machine."""
        if self.target == "local":
            remedy = "a container on ECS needs GAME_ANALYTICS_TARGET=redshift."
            raise SettingError("EXECUTION", self.execution, remedy)
        if not self.docs.startswith("s3://"):
            remedy = "a container writes its results to S3: set it to s3://<bucket>/<prefix>."
            raise SettingError("DOCS", self.docs, remedy)
        if not self.ecs_subnets:
            remedy = "set it to the subnets of the Fargate tasks, subnet-…,subnet-…."
            raise SettingError("ECS_SUBNETS", self.ecs_subnets, remedy)

    @property
    def runs_on_ecs(self) -> bool:
        """Whether dbt runs in containers on ECS, and not on Airflow's workers."""
        return self.execution in {"fargate", "ecs"}

    @property
    def is_s3(self) -> bool:
        """Whether the lake is an S3 prefix, and not a folder."""
        return self.lake.startswith("s3://")

    @property
    def duckdb_path(self) -> Path:
        """The warehouse file of target `local`."""
        return Path(self.duckdb)

    @property
    def adapter(self) -> str:
        """dbt's name for the kind of warehouse."""
        return "duckdb" if self.target == "local" else self.target

    def as_environment(self) -> dict[str, str]:
        """The settings as variables `GAME_ANALYTICS_*`, for a process of the other environment."""
        return {
            f"{PREFIX}{field.name.upper()}": getattr(self, field.name) for field in fields(self)
        }


ACCOUNT = "(?:[0-9]{12})?"
ACCOUNT_MEANING = "the 12 digits of the account that owns the bucket, or leave it empty"

CHECKS: dict[str, Callable[[str, str], str]] = {
    "LAKE": _place,
    "LAKE_OWNER": _matching(ACCOUNT, ACCOUNT_MEANING),
    "DOCS": _place,
    "DOCS_OWNER": _matching(ACCOUNT, ACCOUNT_MEANING),
    "DOCS_DAYS": _matching("[1-9][0-9]{0,4}", "a number of days from 1 to 99999"),
    "DUCKDB": _absolute,
    "DUCKDB_MEMORY": _matching(
        "(?:[1-9][0-9]{0,5}(?:MiB|GiB))?",
        "a size such as 900MiB or 4GiB, or leave it empty to use what the machine has",
    ),
    "TARGET": _one_of("local", "redshift"),
    "EXECUTION": _one_of("watcher", "local", "fargate", "ecs"),
    "SCHEDULE": _schedule,
    "REPORTING_CURRENCY": _matching("[A-Z]{3}", "an ISO 4217 code such as USD"),
    "EARLIEST_DATE": _past_day,
    "SCHEMA_PREFIX": _matching(
        "(?:[a-z][a-z0-9_]{0,30})?", "lower-case letters, digits and underscores"
    ),
    "CONNECTION_ID": _matching(
        "[A-Za-z0-9_.-]{0,200}", "the id of an Airflow connection, or leave it empty for IAM"
    ),
    "GLUE_DATABASE": _matching("[a-z0-9_]{1,255}", "lower-case letters, digits and underscores"),
    "SPECTRUM_ROLE": _matching(
        r"default|arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}"
        r"(?:,arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512})*",
        "default (the cluster's default role), the ARN of an IAM role, or several ARNs (a chain)",
    ),
    "READERS": _grantees,
    "UNMASKED_READERS": _unmasked,
    "LATE_DAYS": _days,
    "ALLOW_LOST_ROWS": _matching("1?", "1 for a run in which rows may be lost, or leave it empty"),
    "ECS_CLUSTER": _matching("[A-Za-z0-9_:/-]{1,255}", "the name or the ARN of an ECS cluster"),
    "ECS_TASK_DEFINITION": _matching(
        "[A-Za-z0-9_:/-]{1,255}", "a task definition's family, family:revision or ARN"
    ),
    "ECS_SUBNETS": _ids("subnet"),
    "ECS_SECURITY_GROUPS": _ids("sg"),
    "ECS_LOG_GROUP": _matching("[A-Za-z0-9_./#-]{1,512}", "the name of a CloudWatch log group"),
    "STATE_MACHINE_ARN": _matching(
        r"(?:arn:aws[a-z-]*:states:[a-z0-9-]+:[0-9]{12}:stateMachine:[A-Za-z0-9_-]{1,80})?",
        "arn:aws:states:<region>:<account>:stateMachine:<name>, or leave it empty",
    ),
    "ALERT_TOPIC_ARN": _matching(
        r"(?:arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})?",
        "the ARN of an SNS topic, arn:aws:sns:<region>:<account>:<name>, or leave it empty",
    ),
    "DEADLINE_MINUTES": _matching(
        "(?:[1-9][0-9]{0,3}|100[0-7][0-9]|10080)?",
        "whole minutes from 1 to 10080 (a week), or leave it empty",
    ),
    "OPENLINEAGE_URL": _backend,
    "OPENLINEAGE_NAMESPACE": _matching(
        "[A-Za-z0-9_.:/-]{1,255}", "letters, digits and the characters _ . : / -"
    ),
    "DBT_EXECUTABLE": _absolute,
}
