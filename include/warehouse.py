"""How dbt reaches the warehouse: Cosmos's profile and the environment of dbt's processes."""

from __future__ import annotations

from cosmos import ProfileConfig

from include.manifest import PROJECT
from include.settings import Settings

PROFILES = PROJECT / "profiles.yml"


def profile(settings: Settings) -> ProfileConfig:
    """The profile of `dbt/profiles.yml`, the same that the command line uses."""
    return ProfileConfig(
        profile_name="game_analytics",
        target_name=settings.target,
        profiles_yml_filepath=PROFILES,
    )


def environment(settings: Settings) -> dict[str, str]:
    """What a dbt process gets on top of the worker's own environment."""
    return {
        **settings.as_environment(),
        "DO_NOT_TRACK": "1",
        "DBT_USE_COLORS": "false",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
