"""`python -m include.build.preflight`: checks what a run needs before the run starts.

Each check raises UserError: one sentence that names the thing and the remedy. A manual run's form
comes as arguments: its selectors are resolved here, and a dry run is made here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from include import manifest
from include.command import command
from include.lake.storage import open_lake
from include.messages import SelectedNodes, to_json
from include.object_store import aws_client, aws_errors, open_documents
from include.run_form import FIELDS, REMEDY, RunForm
from include.settings import Settings, UserError
from include.warehouse.database import Database, open_database

SCHEMAS = ("operations", "reference", "staging", "intermediate", "snapshots", "marts")
"""Where a build makes tables and views, with the prefix in front; it makes what is missing."""
CONNECT_SECONDS = 10
"""How long the network may take to answer: a closed security group drops what comes, silently."""
ADAPTERS = {"local": "dbt-duckdb", "redshift": "dbt-redshift"}


def check_dbt(settings: Settings, lock: Path = manifest.LOCK) -> str:
    """dbt and its adapter are there, in the versions of the lock."""
    install = manifest.install_dbt(settings.dbt_executable)
    if not os.access(settings.dbt_executable, os.X_OK):
        raise UserError(f"{settings.dbt_executable} is no program: {install}.")
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))
    found = []
    for package in ("dbt-core", ADAPTERS[settings.target]):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise UserError(f"{package} is not installed: {install}.") from None
        if version != locked.get(package, version):
            raise UserError(
                f"{package} is {version}, {lock.name} says {locked[package]}: {install}."
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
    """The lake is there and can be read."""
    open_lake(settings).check()
    return f"lake {settings.lake}"


def check_warehouse(settings: Settings) -> str:
    """The warehouse can be written to."""
    if settings.target == "local":
        new = "" if settings.duckdb_path.exists() else " (new)"
        with open_database(settings, timeout_seconds=0):
            return f"warehouse {settings.duckdb_path}{new}"
    check_network(os.environ.get("REDSHIFT_HOST", ""), os.environ.get("REDSHIFT_PORT", ""))
    with open_database(settings) as database:
        return check_redshift(database, settings)


def check_network(host: str, port: str) -> None:
    """Redshift's port answers in time; whatever else is wrong with it the driver says as fast.

    The driver's own timeout would hold for every statement of the connection.
    """
    number = int(port) if port.isdecimal() else 5439
    if not host:
        return
    try:
        socket.create_connection((host, number), CONNECT_SECONDS).close()
    except TimeoutError:
        raise UserError(
            f"{host}:{number} does not answer within {CONNECT_SECONDS} seconds: let the security "
            f"group of the warehouse take this machine in on port {number}, and see that the "
            "route tables and network ACLs of both subnets lead there and back."
        ) from None
    except OSError:
        return


def check_containers(settings: Settings) -> str:
    """The cluster is there, and where containers tell how it goes can be listed."""
    open_documents(settings.docs).names("runs/none/")
    with aws_errors(
        f"cluster {settings.ecs_cluster} of GAME_ANALYTICS_ECS_CLUSTER",
        remedy="deploy include/aws/build.yaml; `make check-account` lists all that is missing",
    ):
        # The workers' role has the right to list tasks, because the producer looks for its task.
        aws_client("ecs").list_tasks(cluster=settings.ecs_cluster, maxResults=1)
    return f"containers on {settings.ecs_cluster}, reports in {settings.docs}"


def check_redshift(database: Database, settings: Settings) -> str:
    """The user of the build may make schemas, or they are there and are its own."""
    ((user, name, may_create),) = database.rows(
        "select current_user, current_database(), "
        "has_database_privilege(current_user, current_database(), 'create')"
    )
    there = {
        schema: bool(may_use)
        for schema, may_use in database.rows(
            "select nspname, has_schema_privilege(current_user, nspname, 'create') "
            "from pg_namespace"
        )
    }
    wanted = [f"{settings.schema_prefix}{schema}" for schema in SCHEMAS]
    missing = [schema for schema in wanted if schema not in there]
    closed = [schema for schema in wanted if not there.get(schema, True)]
    if closed or (missing and not may_create):
        raise UserError(
            f"user {user} cannot make tables in {', '.join(closed or missing)} of database {name}: "
            "run include/aws/bootstrap.sql as an administrator."
        )
    return f"warehouse {name} as {user}"


def selected_nodes(settings: Settings, form: RunForm) -> frozenset[str] | None:
    """The ids of the nodes that the form selects; None, without asking dbt, if it has no selector.

    Raises UserError for a selector that dbt refuses or that matches nothing.
    """
    if not form.selection():
        return None
    kinds = [word for kind in sorted(manifest.BUILT_TYPES) for word in ("--resource-type", kind)]
    given = {"select": form.select, "exclude": form.exclude}
    asked = " and ".join(f"{name} {text!r}" for name, text in given.items() if text)
    with tempfile.TemporaryDirectory() as scratch:
        listed = _dbt(
            settings,
            Path(scratch),
            ["ls", "--output", "json", "--output-keys", "unique_id", *kinds, *form.selection()],
            f"{asked} cannot be resolved, {REMEDY}",
        )
    ids = {json.loads(line)["unique_id"] for line in listed.splitlines() if line[:1] == "{"}
    if not (nodes := manifest.Manifest.read().built & ids):
        raise UserError(f"{asked} leaves no model, seed or snapshot to build: {REMEDY}.")
    return nodes


def dry_run(
    settings: Settings, form: RunForm, nodes: frozenset[str] | None, folder: Path
) -> list[str]:
    """Compile what the form selects into the folder; returns what would be built, in lines.

    The days in the SQL of incremental models are those of the last run: this one finds none.
    """
    read = manifest.Manifest.read()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # The target of dbt's own is the DAG's manifest.
    with tempfile.TemporaryDirectory() as scratch:
        _dbt(
            settings,
            Path(scratch),
            ["compile", "--indirect-selection", "empty", *form.selection(), *form.refresh()],
            "the project does not compile, mend what dbt names",
        )
        # A selection of seeds compiles to nothing.
        for compiled in Path(scratch).glob("compiled/*"):
            shutil.copytree(compiled, folder, dirs_exist_ok=True)
    built = sorted(read.built if nodes is None else nodes)
    return [
        *(
            f"would build {' '.join(unique_id.split('.')[::2])}: "
            f"{manifest.PROJECT.name}/{read.nodes[unique_id]['original_file_path']}"
            for unique_id in built
        ),
        f"{len(built)} node{'s' if len(built) != 1 else ''} would be built; "
        f"compiled SQL: {manifest.shown(folder)}",
    ]


def _dbt(settings: Settings, target: Path, arguments: list[str], fault: str) -> str:
    """Run a command of dbt with a target folder of its own; returns what it printed.

    Raises UserError with the fault and dbt's own words, in one sentence.
    """
    ended = subprocess.run(
        [
            *(settings.dbt_executable, "--quiet", "--no-use-colors", *arguments),
            *manifest.dbt_arguments(settings, target),
        ],
        env={**os.environ, **settings.as_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        said = re.sub(r"(?m)^[0-9:]{8} +(Encountered an error:)?", "", ended.stdout + ended.stderr)
        raise UserError(f"{fault}; dbt says: {' '.join(said.split())}")
    return ended.stdout


def arguments() -> argparse.Namespace:
    """The command line: the form by the names of its fields, and two for Airflow."""
    parser = argparse.ArgumentParser(prog="python -m include.build.preflight", description=__doc__)
    for name in ("select", "exclude", "from", "to"):
        parser.add_argument(f"--{name}", help=FIELDS[name]["description"])
    parser.add_argument(
        "--full-refresh", action="store_true", help=FIELDS["full_refresh"]["description"]
    )
    parser.add_argument(
        "--dry-run", type=Path, metavar="FOLDER", help="Compile into this folder, and list."
    )
    parser.add_argument(
        "--json", action="store_true", help="End with the selected ids (null: all) as JSON."
    )
    return parser.parse_args()


@command
def main() -> int:
    """Run all checks, until one fails."""
    asked = arguments()
    form = RunForm.from_params({name: getattr(asked, name) for name in FIELDS})
    settings = Settings.from_env(os.environ)
    print(f"target {settings.target}")
    print(check_dbt(settings))
    print(check_manifest())
    print(check_lake(settings))
    print(check_warehouse(settings))
    if settings.runs_on_ecs:
        print(check_containers(settings))
    nodes = selected_nodes(settings, form)
    if asked.dry_run:
        print("\n".join(dry_run(settings, form, nodes, asked.dry_run)))
    if asked.json:
        print(to_json(SelectedNodes(nodes if nodes is None else tuple(sorted(nodes)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
