"""`python -m include.manifest`: makes dbt's manifest, so that importing a DAG never runs dbt.

A file beside the manifest holds the fingerprint of the project's files from which it was made.
`preflight` compares it with the files as they are now: a manifest of older files would give the run
an outdated graph.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from include.command import command
from include.settings import PACKAGED, ROOT, Settings, UserError

PROJECT = ROOT / "dbt"
MANIFEST = PROJECT / "target" / "manifest.json"
FINGERPRINT = PROJECT / "target" / "manifest.fingerprint"
LOCK = ROOT / "include" / "requirements" / "dbt.txt"
BUILT_TYPES = frozenset({"model", "seed", "snapshot"})
STEPS = frozenset(
    {
        *("preflight", "partitions", "freshness", "dbt_build", "cross_model_tests"),
        *("record_partitions", "kpi_summary", "publish", "unlock", "done"),
    }
)
"""The ids of the DAG's tasks that belong to no node."""
MAKE_MANIFEST = (
    "A deploy is in progress or was interrupted: clear this task in two minutes. If it fails "
    "again, run `make deploy` again."
    if PACKAGED
    else "Run `make manifest`."
)


@contextmanager
def without_collector() -> Iterator[None]:
    """Switch the garbage collector off while many lasting objects are created.

    It would search them again and again, which takes 40 % of the time of a DAG's import.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# Hashed by identity, because `content` is a dict and `transform.marts` caches by manifest.
@dataclass(frozen=True, eq=False)
class Manifest:
    """The facts of `manifest.json` that Airflow and the checks need; `content` is the JSON."""

    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path = MANIFEST) -> Manifest:
        """Read the file; raises UserError if it does not exist or is not a manifest."""
        try:
            # Airflow depends on msgspec too. `json` would take half of the time of a DAG's import.
            with without_collector():
                content = msgspec.json.decode(path.read_bytes())
        except FileNotFoundError:
            raise UserError(f"{shown(path)} does not exist. {MAKE_MANIFEST}") from None
        except msgspec.MsgspecError:
            raise UserError(f"{shown(path)} is damaged. {MAKE_MANIFEST}") from None
        if not isinstance(content, dict) or not isinstance(content.get("nodes"), dict):
            raise UserError(f"{shown(path)} is not a dbt manifest. {MAKE_MANIFEST}")
        return cls(content)

    @property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """All enabled nodes of dbt (models, seeds, snapshots, tests, …), by unique id."""
        nodes: Mapping[str, Mapping[str, Any]] = self.content["nodes"]
        return nodes

    @cached_property
    def built(self) -> frozenset[str]:
        """The ids of all nodes that create a table or view; each has one Airflow task."""
        return frozenset(
            unique_id
            for unique_id, node in self.nodes.items()
            if node["resource_type"] in BUILT_TYPES
            and node.get("config", {}).get("materialized") != "ephemeral"
        )

    def parents(self, unique_id: str) -> frozenset[str]:
        """The ids of the nodes and sources that a node reads directly."""
        return frozenset(self.nodes[unique_id].get("depends_on", {}).get("nodes", ()))

    def sources(self, unique_id: str) -> frozenset[str]:
        """The ids of all sources that a node needs, through all of its ancestors."""
        return frozenset(
            ancestor for ancestor in self.ancestors(unique_id) if ancestor not in self.nodes
        )

    def ancestors(self, unique_id: str) -> Iterator[str]:
        """The ids of all nodes and sources upstream of a node."""
        seen: set[str] = set()
        waiting = [unique_id]
        while waiting:
            node = waiting.pop()
            if node in self.nodes:
                new = self.parents(node) - seen
                seen |= new
                waiting.extend(new)
        yield from seen

    def name(self, unique_id: str) -> str:
        """The name of a node in dbt. Only the names of tests are unique: versions share theirs."""
        return str(self.nodes[unique_id]["name"])

    def task_id(self, unique_id: str) -> str:
        """The id of the Airflow task of a node that is built, and the name in messages about it."""
        return self._task_ids[unique_id]

    @cached_property
    def _task_ids(self) -> Mapping[str, str]:
        """The task ids by unique id; raises UserError if two nodes, or a node and a step, share it.

        Ephemeral models are in it: they have a task that does nothing.
        """
        found: dict[str, str] = {}
        owners: dict[str, str] = {}
        for unique_id in sorted(self.nodes):
            if self.nodes[unique_id]["resource_type"] not in BUILT_TYPES:
                continue
            task_id = task_id_of(unique_id)
            if task_id in STEPS:
                raise UserError(
                    f"{unique_id} has the name of the DAG's task {task_id}: rename the node."
                )
            if other := owners.get(task_id):
                raise UserError(
                    f"{other} and {unique_id} would share the Airflow task {task_id}: rename one."
                )
            owners[task_id] = unique_id
            found[unique_id] = task_id
        return found

    def check_names(self) -> None:
        """Raise UserError if two nodes would share an Airflow task."""
        _ = self._task_ids

    def selector(self, unique_id: str) -> str:
        """The dbt selector that selects this node or test and no other.

        dbt's methods `fqn:` and bare names match by prefix, so they also select the content of a
        folder with the name of the node. A path is exact. Where a file declares several nodes, as
        YAML does for tests and snapshots, the qualified name selects among them.
        """
        node = self.nodes[unique_id]
        path = str(node["original_file_path"])
        qualified = f"fqn:{'.'.join(node['fqn'])}"
        if node["package_name"] != self.content["metadata"]["project_name"]:
            # dbt looks for paths in the root project only.
            place = [f"package:{node['package_name']}", f"file:{Path(path).name}", qualified]
        elif self._nodes_by_file[path] == 1 and Path(path).suffix not in {".yml", ".yaml"}:
            place = [f"path:{path}"]
        else:
            place = [f"path:{path}", qualified]
        # dbt splits a selector at spaces and commas, and reads brackets as a pattern.
        return ",".join(re.sub(r"[\s,\[\]*]", "?", part) for part in place)

    @cached_property
    def _nodes_by_file(self) -> Counter[str]:
        """How many nodes and tests of the root project each file declares."""
        project = self.content["metadata"]["project_name"]
        return Counter(
            node["original_file_path"]
            for node in self.nodes.values()
            if node["package_name"] == project
        )

    def tests(self) -> frozenset[str]:
        """The ids of all data tests."""
        return frozenset(
            unique_id for unique_id, node in self.nodes.items() if node["resource_type"] == "test"
        )

    def tests_of(self, unique_id: str) -> list[str]:
        """The ids of the data tests that `dbt build` runs with only this node, sorted."""
        return self._tests_by_node.get(unique_id, [])

    @cached_property
    def _tests_by_node(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for test in sorted(self.nodes):
            if self.nodes[test]["resource_type"] == "test" and len(self.parents(test)) == 1:
                (parent,) = self.parents(test)
                found.setdefault(parent, []).append(test)
        return found

    def tests_across(self) -> list[str]:
        """The ids of the data tests that `dbt build` of a single node never runs, sorted.

        These are the cross-model tests, and the tests of a source or without a parent.
        """
        return sorted(
            unique_id
            for unique_id, node in self.nodes.items()
            if node["resource_type"] == "test"
            and not (len(self.parents(unique_id)) == 1 and self.parents(unique_id) <= self.built)
        )

    def owner(self, unique_id: str) -> str:
        """The name, or else the e-mail address, of the owner of a node; empty without an owner."""
        name = self.nodes[unique_id].get("config", {}).get("group")
        for group in self.content.get("groups", {}).values():
            if group["name"] == name:
                owner = group.get("owner", {})
                return str(owner.get("name") or owner.get("email") or name)
        return ""


def task_id_of(unique_id: str) -> str:
    """The task id that Cosmos gives a node: `model.p.dim_levels.v1` becomes `dim_levels_v1`.

    Unlike the node's name, it holds the version. Cosmos replaces dots, which dbt allows in names.
    """
    return unique_id.split(".", 2)[2].replace(".", "_")


def described(unique_id: str) -> tuple[str, str]:
    """The kind and the name of a node or test for messages: a node's task id, a test's own name.

    The unique id of a generic test ends with a hash, which is left out.
    """
    kind, _, name = unique_id.split(".", 2)
    if kind == "test":
        return kind, re.sub(r"\.[0-9a-f]{1,10}$", "", name)
    return kind, task_id_of(unique_id)


def fingerprint(project: Path = PROJECT, lock: Path = LOCK) -> str:
    """A hash of the names and contents of the project's files, and of dbt's version lock.

    Folders directly below `project` that have a `dbt_project.yml` are left out: in a shared MWAA
    environment they are the dbt projects of other teams.
    """
    digest = hashlib.sha256()
    ignored = {"target", "logs", *(path.parent.name for path in project.glob("*/dbt_project.yml"))}
    for path in [*sorted(project.rglob("*")), lock]:
        inside = path.relative_to(project).parts if path is not lock else ("lock",)
        if inside[0] in ignored or not path.is_file():
            continue
        if any(part.startswith(".") or part == "__pycache__" for part in inside):
            continue
        content = path.read_bytes()
        digest.update(f"{'/'.join(inside)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def is_current() -> bool:
    """Whether the manifest exists and was made from the project's files as they are now."""
    return (
        MANIFEST.is_file()
        and FINGERPRINT.is_file()
        and FINGERPRINT.read_text().strip() == fingerprint()
    )


def make(settings: Settings) -> bool:
    """Make the manifest if it is not current; returns whether it had to be made.

    Raises UserError with dbt's message if the project does not parse.
    """
    if is_current():
        return False
    # Computed before dbt reads the files, so that a change during the parse is found by the check.
    before = fingerprint()
    FINGERPRINT.unlink(missing_ok=True)
    command = [settings.dbt_executable, "--quiet", "parse", "--target", settings.target]
    try:
        parsed = subprocess.run(
            [*command, "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)],
            env={**os.environ, **settings.as_environment()},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        raise UserError(f"{settings.dbt_executable} does not run. Run `make install`.") from None
    if parsed.returncode:
        output = (parsed.stdout + parsed.stderr).strip()
        raise UserError(f"the dbt project does not parse; repair what dbt names.\n{output}")
    Manifest.read().check_names()
    FINGERPRINT.write_text(before + "\n")
    return True


def dbt_arguments(settings: Settings, target: Path) -> list[str]:
    """The arguments that each dbt command of the package shares.

    Artifacts and logs go to the folder `target`, so that the manifest that Airflow reads does not
    change. dbt reuses the result of the last parse if that had the same target, and otherwise
    parses the project again. The argument for it is left out if no such result exists, because dbt
    refuses a path that does not exist. On MWAA it never exists, because nothing can be kept there.
    """
    kept = PROJECT / "target" / "partial_parse.msgpack"
    return [
        *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
        *("--target", settings.target),
        *("--target-path", str(target), "--log-path", str(target)),
        *(("--partial-parse-file-path", str(kept)) if kept.is_file() else ()),
    ]


def install_dbt(executable: str) -> str:
    """The remedy for a missing or wrong dbt environment; on MWAA `startup.sh` installs it."""
    if not PACKAGED:
        # make installs only if its stamp is missing, so it does not notice manual changes in .venv.
        return "run `rm -rf .venv && make install`"
    failed = Path(executable).parent.parent.with_suffix(".failed")
    why = f"startup.sh reported: {failed.read_text().strip()}; " if failed.is_file() else ""
    return (
        f"{why}wait if the MWAA environment is being updated; else read the log of startup.sh in "
        "the log group of the workers, repair what it names, and run `make deploy` with "
        "ARGS=--update"
    )


def shown(path: Path) -> str:
    """A path relative to the checkout, if it is there."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


@command
def main() -> int:
    """Make the manifest if it is not current."""
    if make(Settings.from_env(os.environ)):
        print(f"Made {shown(MANIFEST)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
