"""`python -m include.build.preflight`: checks what a run needs before the run starts.

A check that fails raises UserError: one sentence that names the thing and the remedy. The arguments
are the fields of a manual run's form. Preflight resolves the selectors and does a dry run.
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
from include.partial_builds import refuse_variables
from include.run_form import FIELDS, REMEDY, RunForm
from include.settings import Settings, UserError
from include.warehouse.database import Database, open_database

SCHEMAS = ("operations", "reference", "staging", "intermediate", "snapshots", "marts")
"""The schemas of a build, without the prefix. The build creates those that do not exist."""
CONNECT_SECONDS = 10
"""How long to wait for a connection: a closed security group drops packets without an answer."""
ADAPTERS = {"local": "dbt-duckdb", "redshift": "dbt-redshift"}


def check_dbt(settings: Settings, lock: Path = manifest.LOCK) -> str:
    """Check that dbt and its adapter are installed in the versions of the lock."""
    install = manifest.install_dbt(settings.dbt_executable)
    if not os.access(settings.dbt_executable, os.X_OK):
        raise UserError(f"{settings.dbt_executable} is not a program: {install}.")
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))
    found = []
    for package in ("dbt-core", ADAPTERS[settings.target]):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise UserError(f"{package} is not installed: {install}.") from None
        if version != locked.get(package, version):
            raise UserError(
                f"{package} has version {version}, "
                f"but {lock.name} has {locked[package]}: {install}."
            )
        found.append(f"{package} {version}")
    return ", ".join(found)


def check_manifest() -> str:
    """Check that the manifest was made from the project's files as they are now.

    No two of its nodes may share an Airflow task.
    """
    read = manifest.Manifest.read()
    if not manifest.is_current():
        raise UserError(
            "dbt/target/manifest.json was not made from the project's files as they are now. "
            + manifest.MAKE_MANIFEST
        )
    read.check_names()
    return f"manifest of {len(read.built)} nodes"


def check_lake(settings: Settings) -> str:
    """Check that the lake exists and can be read."""
    open_lake(settings).check()
    return f"lake {settings.lake}"


def check_warehouse(settings: Settings) -> str:
    """Check that the warehouse can be written to."""
    if settings.target == "local":
        new = "" if settings.duckdb_path.exists() else " (new)"
        with open_database(settings, timeout_seconds=0):
            return f"warehouse {settings.duckdb_path}{new}"
    check_network(os.environ.get("REDSHIFT_HOST", ""), os.environ.get("REDSHIFT_PORT", ""))
    with open_database(settings) as database:
        return check_redshift(database, settings)


def check_network(host: str, port: str) -> None:
    """Check that Redshift's port does not time out. The driver reports all other errors at once.

    The driver's own timeout does not help, because it would also limit each statement.
    """
    number = int(port) if port.isdecimal() else 5439
    if not host:
        return
    try:
        socket.create_connection((host, number), CONNECT_SECONDS).close()
    except TimeoutError:
        raise UserError(
            f"{host}:{number} does not answer within {CONNECT_SECONDS} seconds: allow this machine "
            f"in the security group of the warehouse on port {number}, and check that the route "
            "tables and network ACLs of both subnets allow the way there and back."
        ) from None
    except OSError:
        return


def check_containers(settings: Settings) -> str:
    """Check that the ECS cluster exists and the containers' reports can be listed."""
    open_documents(settings.docs, settings.docs_owner).names("runs/none/")
    with aws_errors(
        f"cluster {settings.ecs_cluster} of GAME_ANALYTICS_ECS_CLUSTER",
        remedy="deploy include/aws/build.yaml; `make check-account` lists all that is missing",
    ):
        # The workers' role has the right to list tasks, because the producer looks for its task.
        aws_client("ecs").list_tasks(cluster=settings.ecs_cluster, maxResults=1)
    return f"containers on {settings.ecs_cluster}, reports in {settings.docs}"


def check_redshift(database: Database, settings: Settings) -> str:
    """Check that the user of the build may create the schemas, or may create tables in them."""
    ((user, name, may_create),) = database.rows(
        "select current_user, current_database(), "
        "has_database_privilege(current_user, current_database(), 'create')"
    )
    existing = {
        schema: bool(may_use)
        for schema, may_use in database.rows(
            "select nspname, has_schema_privilege(current_user, nspname, 'create') "
            "from pg_namespace"
        )
    }
    wanted = [f"{settings.schema_prefix}{schema}" for schema in SCHEMAS]
    missing = [schema for schema in wanted if schema not in existing]
    closed = [schema for schema in wanted if not existing.get(schema, True)]
    if closed or (missing and not may_create):
        raise UserError(
            f"user {user} cannot create tables in {', '.join(closed or missing)} "
            f"of database {name}: run include/aws/bootstrap.sql as an administrator."
        )
    return f"warehouse {name} as {user}"


def selected_nodes(settings: Settings, form: RunForm) -> frozenset[str] | None:
    """The ids of the nodes that the form selects, resolved by dbt; None if it has no selector.

    Raises UserError for a selector that dbt refuses or that matches nothing.
    """
    if not form.selection():
        return None
    kinds = [word for kind in sorted(manifest.BUILT_TYPES) for word in ("--resource-type", kind)]
    fields = {"select": form.select, "exclude": form.exclude}
    selectors = " and ".join(f"{name} {text!r}" for name, text in fields.items() if text)
    with tempfile.TemporaryDirectory() as scratch:
        listed = _dbt(
            settings,
            Path(scratch),
            ["ls", "--output", "json", "--output-keys", "unique_id", *kinds, *form.selection()],
            f"{selectors} cannot be resolved, {REMEDY}",
        )
    ids = {json.loads(line)["unique_id"] for line in listed.splitlines() if line[:1] == "{"}
    if not (nodes := manifest.Manifest.read().built & ids):
        raise UserError(f"{selectors} leaves no model, seed or snapshot to build: {REMEDY}.")
    return nodes


def dry_run(
    settings: Settings, form: RunForm, nodes: frozenset[str] | None, folder: Path
) -> list[str]:
    """Compile the selected nodes into the folder; returns lines that list what would be built.

    The SQL of incremental models has the days of the last run, since a dry run determines no days.
    """
    read = manifest.Manifest.read()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Not dbt's own target folder: it holds the manifest of the DAG.
    with tempfile.TemporaryDirectory() as scratch:
        _dbt(
            settings,
            Path(scratch),
            ["compile", "--indirect-selection", "empty", *form.selection(), *form.refresh()],
            "the project does not compile, repair what dbt names",
        )
        # For a selection of seeds only, dbt writes no compiled file.
        for compiled in Path(scratch).glob("compiled/*"):
            shutil.copytree(compiled, folder, dirs_exist_ok=True)
    built = sorted(read.built if nodes is None else nodes)
    return [
        *(
            f"would build {' '.join(manifest.described(unique_id))}: "
            f"{manifest.PROJECT.name}/{read.nodes[unique_id]['original_file_path']}"
            for unique_id in built
        ),
        f"{len(built)} node{'s' if len(built) != 1 else ''} would be built; "
        f"compiled SQL: {manifest.shown(folder)}",
    ]


def _dbt(settings: Settings, target: Path, arguments: list[str], error: str) -> str:
    """Run a dbt command with this target folder; returns its output.

    If dbt fails, raises UserError with `error` and dbt's message, in one line.
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
        output = ended.stdout + ended.stderr
        message = re.sub(r"(?m)^[0-9:]{8} +(Encountered an error:)?", "", output)
        raise UserError(f"{error}; dbt's message: {' '.join(message.split())}")
    return ended.stdout


def arguments() -> argparse.Namespace:
    """Parse the command line: the fields of the form, and two options for the DAG's task."""
    parser = argparse.ArgumentParser(prog="python -m include.build.preflight", description=__doc__)
    for name in ("select", "exclude", "from", "to"):
        parser.add_argument(f"--{name}", help=FIELDS[name]["description"])
    for name in ("full_refresh", "allow_lost_rows"):
        parser.add_argument(
            f"--{name.replace('_', '-')}", action="store_true", help=FIELDS[name]["description"]
        )
    parser.add_argument(
        "--dry-run",
        type=Path,
        metavar="FOLDER",
        help="Compile into this folder, and list the nodes.",
    )
    parser.add_argument(
        "--json", action="store_true", help="End with the selected ids (null: all) as JSON."
    )
    return parser.parse_args()


@command
def main() -> int:
    """Run the checks in order until one fails; then resolve the selectors, or do a dry run."""
    options = arguments()
    form = RunForm.from_params({name: getattr(options, name) for name in FIELDS})
    settings = Settings.from_env(os.environ)
    refuse_variables(os.environ)
    print(f"target {settings.target}")
    print(check_dbt(settings))
    print(check_manifest())
    print(check_lake(settings))
    print(check_warehouse(settings))
    if settings.runs_on_ecs:
        print(check_containers(settings))
    nodes = selected_nodes(settings, form)
    if options.dry_run:
        print("\n".join(dry_run(settings, form, nodes, options.dry_run)))
    if options.json:
        print(to_json(SelectedNodes(nodes if nodes is None else tuple(sorted(nodes)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
