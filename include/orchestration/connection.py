"""How Airflow's tasks reach the warehouse: dbt's profile, and the environment of dbt's processes.

`dbt/profiles.yml` is the only definition of dbt's profile. On target `redshift` it reads host, user
and password from variables `REDSHIFT_*`. For a task of Airflow they come from the Airflow
connection of the setting CONNECTION_ID: `login` reads it when the task starts a dbt process, never
when a DAG is imported, and only the environment of that process receives the password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from cosmos import ProfileConfig

from include.manifest import PROJECT
from include.settings import Settings

PROFILES = PROJECT / "profiles.yml"
PLACE = "`airflow/connections/{}` in Secrets Manager, or a connection of that id in Airflow"
"""Where the login is stored, for error messages."""


@dataclass
class ConnectionProfile(ProfileConfig):
    """`dbt/profiles.yml` with the variables that it reads from the Airflow connection."""

    settings: Settings = field(default_factory=Settings)

    @contextmanager
    def ensure_profile(
        self, desired_profile_path: Path | None = None, use_mock_values: bool = False
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        """Yield the profile's path and the login.

        Cosmos adds the login to the environment of the dbt process that it is about to start.
        Cosmos passes `use_mock_values` where no warehouse is needed, so the login is left out.
        """
        with super().ensure_profile(desired_profile_path, use_mock_values) as (path, variables):
            yield path, variables if use_mock_values else {**variables, **login(self.settings)}


def profile(settings: Settings) -> ProfileConfig:
    """The profile of dbt's operators; creating it reads no connection."""
    return ConnectionProfile(
        profile_name="game_analytics",
        target_name=settings.target,
        profiles_yml_filepath=PROFILES,
        settings=settings,
    )


def environment(settings: Settings) -> dict[str, str]:
    """The variables that each dbt process gets besides the worker's own; none of them is secret."""
    return {
        **settings.as_environment(),
        "DO_NOT_TRACK": "1",
        "DBT_USE_COLORS": "false",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def login(settings: Settings) -> dict[str, str]:
    """The variables `REDSHIFT_*` of `dbt/profiles.yml`, from the connection as it is now.

    The key of an OpenLineage backend is with them if the connection's extra has one. Put them into
    the environment of one dbt process and nowhere else: Airflow masks the password in its logs, but
    not in a task's return value. The result is empty on target `local`, and without a connection
    id: then `profiles.yml` reads the worker's own variables, for a login by IAM.

    Raises AirflowException with the remedy if the connection does not exist or is incomplete.
    """
    if settings.target == "local" or not settings.connection_id:
        return {}
    place = PLACE.format(settings.connection_id)
    try:
        connection = BaseHook.get_connection(settings.connection_id)
    except AirflowNotFoundException:
        message = (
            f"There is no connection {settings.connection_id}: create {place}, and check that "
            "[secrets] and [workers] name the backend (include/aws/by-hand.md, step 5)."
        )
        raise AirflowException(message) from None
    found = {
        "REDSHIFT_HOST": connection.host,
        "REDSHIFT_PORT": str(connection.port or 5439),
        "REDSHIFT_USERNAME": connection.login,
        "REDSHIFT_PASSWORD": connection.password,
        "REDSHIFT_DBNAME": connection.schema,
        "REDSHIFT_SSLMODE": connection.extra_dejson.get("sslmode", "prefer"),
        "REDSHIFT_REGION": connection.extra_dejson.get("region", ""),
        "REDSHIFT_METHOD": "database",
    }
    if missing := [name for name, value in found.items() if value is None]:
        message = (
            f"The connection {settings.connection_id} has no {', '.join(missing)}: complete "
            f"{place}. The database's name of a secret in AWS's rotation format is read only with "
            'extra_conn_words={"schema": ["dbname"]} in the backend\'s arguments.'
        )
        raise AirflowException(message)
    # The publication sends lineage with this key, if the setting OPENLINEAGE_URL names a backend.
    if key := connection.extra_dejson.get("openlineage_api_key"):
        found["OPENLINEAGE_API_KEY"] = key
    return {name: value for name, value in found.items() if value is not None}
