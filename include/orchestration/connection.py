"""How tasks reach the warehouse: Cosmos's profile, and the environment of dbt's processes."""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from cosmos import ProfileConfig
from cosmos.profiles import RedshiftUserPasswordProfileMapping

from include.manifest import PROJECT
from include.settings import Settings

PROFILES = PROJECT / "profiles.yml"
REDSHIFT = {
    "threads": 4,
    "tcp_keepalive_idle": 60,
    "tcp_keepalive_interval": 30,
    "tcp_keepalive_count": 5,
}
"""Of dbt on Redshift; the same as in `profiles.yml`, which has the reasons."""
WHERE = "`airflow/connections/{}` in Secrets Manager, or a connection of that id in Airflow"


def profile(settings: Settings) -> ProfileConfig:
    """What the command line uses, `dbt/profiles.yml`; on Redshift the same from the connection.

    Without a connection id (IAM) `profiles.yml` serves there too.
    """
    if settings.target == "local" or not settings.connection_id:
        return ProfileConfig(
            profile_name="game_analytics",
            target_name=settings.target,
            profiles_yml_filepath=PROFILES,
        )
    return ProfileConfig(
        profile_name="game_analytics",
        target_name=settings.target,
        profile_mapping=RedshiftUserPasswordProfileMapping(
            conn_id=settings.connection_id,
            profile_args={"schema": f"{settings.schema_prefix}marts", **REDSHIFT},
        ),
    )


def environment(settings: Settings) -> dict[str, str]:
    """What a dbt process gets on top of the worker's own environment; nothing of it is secret."""
    return {
        **settings.as_environment(),
        "DO_NOT_TRACK": "1",
        "DBT_USE_COLORS": "false",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def login(settings: Settings) -> dict[str, str]:
    """The variables that `profiles.yml` reads, from the connection as it is now.

    For the environment of one process of dbt, and nothing else: Airflow masks the password in its
    logs, but not in what a task returns. Raises AirflowException with the remedy.
    """
    if settings.target == "local" or not settings.connection_id:
        return {}
    where = WHERE.format(settings.connection_id)
    try:
        connection = BaseHook.get_connection(settings.connection_id)
    except AirflowNotFoundException:
        message = (
            f"There is no connection {settings.connection_id}: make {where}, and see that "
            "[secrets] and [workers] name the backend (include/aws/README.md, Appendix)."
        )
        raise AirflowException(message) from None
    given = {
        "REDSHIFT_HOST": connection.host,
        "REDSHIFT_PORT": str(connection.port or 5439),
        "REDSHIFT_USERNAME": connection.login,
        "REDSHIFT_PASSWORD": connection.password,
        "REDSHIFT_DBNAME": connection.schema,
        "REDSHIFT_SSLMODE": connection.extra_dejson.get("sslmode", "prefer"),
        "REDSHIFT_REGION": connection.extra_dejson.get("region", ""),
        "REDSHIFT_METHOD": "database",
    }
    if missing := [name for name, value in given.items() if value is None]:
        message = (
            f"The connection {settings.connection_id} has no {', '.join(missing)}: complete "
            f"{where}. Of a secret in AWS's rotation format the database's name is read only with "
            'extra_conn_words={"schema": ["dbname"]} in the backend\'s arguments.'
        )
        raise AirflowException(message)
    return {name: value for name, value in given.items() if value is not None}
