"""`python -m include.preflight`: what a run needs, checked before it starts (dbt's environment).

Each check raises UserError: one sentence that names the thing and the remedy.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

from include import manifest
from include.duckdb_file import connect
from include.settings import Settings, UserError

INSTALL = "run `rm -rf .venv && make install`"
"""Make trusts its stamps: what was changed by hand below .venv it does not install again."""


def check_target(settings: Settings) -> str:
    """The target is one that this release can build."""
    if settings.target != "local":
        raise UserError(
            f"target {settings.target} is not there yet in this release: "
            "set GAME_ANALYTICS_TARGET to local."
        )
    return f"target {settings.target}"


def check_dbt(settings: Settings, lock: Path = manifest.LOCK) -> str:
    """dbt and its adapter are there, in the versions of the lock."""
    if not os.access(settings.dbt_executable, os.X_OK):
        raise UserError(f"{settings.dbt_executable} is no program: {INSTALL}.")
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))
    found = []
    for package in ("dbt-core", "dbt-duckdb"):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise UserError(f"{package} is not installed: {INSTALL}.") from None
        if version != locked.get(package, version):
            raise UserError(
                f"{package} is {version}, {lock.name} says {locked[package]}: {INSTALL}."
            )
        found.append(f"{package} {version}")
    return ", ".join(found)


def check_manifest() -> str:
    """The manifest is there and was made from the project's files as they are now."""
    nodes = len(manifest.Manifest.read().built)
    if not manifest.is_current():
        raise UserError(
            "dbt/target/manifest.json was not made from the project's files as they are now. "
            + manifest.MAKE_MANIFEST
        )
    return f"manifest of {nodes} nodes"


def check_lake(settings: Settings) -> str:
    """The lake is a folder that can be read."""
    lake = Path(settings.lake)
    if lake.exists() and not lake.is_dir():
        raise UserError(
            f"the lake {lake} is a file: set GAME_ANALYTICS_LAKE to a folder, or move the file."
        )
    try:
        # A folder whose names can be listed may still refuse to be entered.
        next((path.stat() for path in lake.iterdir()), None)
    except FileNotFoundError:
        raise UserError(
            f"the lake {lake} does not exist: land events with `make land FILES=…`, "
            "or make sample data with `make generate`."
        ) from None
    except PermissionError:
        raise UserError(f"the lake {lake} cannot be read: give this user access to it.") from None
    return f"lake {lake}"


def check_duckdb(path: Path) -> str:
    """The warehouse file can be opened for writing, or can be made."""
    new = "" if path.exists() else " (new)"
    connect(path).close()
    return f"warehouse {path}{new}"


def main() -> int:
    """Run all checks; the first that fails is one sentence on stderr and exit code 1."""
    try:
        settings = Settings.from_env(os.environ)
        print(check_target(settings))
        print(check_dbt(settings))
        print(check_manifest())
        print(check_lake(settings))
        print(check_duckdb(settings.duckdb_path))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
