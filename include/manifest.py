"""`python -m include.manifest`: dbt's manifest, made ahead so that no DAG runs dbt.

Beside the manifest lies a fingerprint of the project's files. A manifest that belongs to other
files would run yesterday's graph on today's models, so `preflight` compares the two.
"""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
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
MAKE_MANIFEST = (
    "A deploy is under way or was cut off: clear this task in two minutes, and if it fails again "
    "run `make deploy` again."
    if PACKAGED
    else "Run `make manifest`."
)


@contextmanager
def uncollected() -> Iterator[None]:
    """Make many objects that stay: the collector's looking through them is 40 % of an import."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# By identity: one that has been read can be the key of a cache.
@dataclass(frozen=True, eq=False)
class Manifest:
    """What Airflow and the checks need of `manifest.json`; `content` is the parsed file."""

    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path = MANIFEST) -> Manifest:
        """Read the file; raises UserError if it is absent or no manifest."""
        try:
            # Airflow's own decoder; the standard library's would be half of a DAG's import.
            with uncollected():
                content = msgspec.json.decode(path.read_bytes())
        except FileNotFoundError:
            raise UserError(f"{shown(path)} does not exist. {MAKE_MANIFEST}") from None
        except msgspec.MsgspecError:
            raise UserError(f"{shown(path)} is damaged. {MAKE_MANIFEST}") from None
        if not isinstance(content, dict) or not isinstance(content.get("nodes"), dict):
            raise UserError(f"{shown(path)} is no dbt manifest. {MAKE_MANIFEST}")
        return cls(content)

    @property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """Every enabled node (models, seeds, snapshots, tests, …) by its unique id."""
        nodes: Mapping[str, Mapping[str, Any]] = self.content["nodes"]
        return nodes

    @cached_property
    def built(self) -> frozenset[str]:
        """The ids of all nodes that leave something in the warehouse: one Airflow task each."""
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
        """The name of a node, as dbt selects it."""
        return str(self.nodes[unique_id]["name"])

    def selector(self, unique_id: str) -> str:
        """What selects this node, and no other, in dbt."""
        return f"fqn:{'.'.join(self.nodes[unique_id]['fqn'])}"

    def tests_of(self, unique_id: str) -> list[str]:
        """The ids of the data tests that `dbt build` of this node alone runs, in a fixed order."""
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
        """The ids of the data tests that no single node's `dbt build` runs, in a fixed order.

        These are the tests with several parents, and those on a source or on nothing.
        """
        return sorted(
            unique_id
            for unique_id, node in self.nodes.items()
            if node["resource_type"] == "test"
            and not (len(self.parents(unique_id)) == 1 and self.parents(unique_id) <= self.built)
        )

    def owner(self, unique_id: str) -> str:
        """The name (else the e-mail) of the owner of a node's group; empty if it has none."""
        name = self.nodes[unique_id].get("config", {}).get("group")
        for group in self.content.get("groups", {}).values():
            if group["name"] == name:
                owner = group.get("owner", {})
                return str(owner.get("name") or owner.get("email") or name)
        return ""


def fingerprint(project: Path = PROJECT, lock: Path = LOCK) -> str:
    """A hash over the project's files (names and contents) and over the lock of dbt itself.

    On a shared MWAA environment dbt projects of others may lie beside ours: they do not count.
    """
    digest = hashlib.sha256()
    apart = {"target", "logs", *(path.parent.name for path in project.glob("*/dbt_project.yml"))}
    for path in [*sorted(project.rglob("*")), lock]:
        inside = path.relative_to(project).parts if path is not lock else ("lock",)
        if inside[0] in apart or not path.is_file():
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

    Raises UserError with dbt's own words if the project does not parse.
    """
    if is_current():
        return False
    # Taken before dbt reads the files: a file changed meanwhile makes the next check fail.
    taken = fingerprint()
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
        said = (parsed.stdout + parsed.stderr).strip()
        raise UserError(f"the dbt project does not parse; mend what dbt names.\n{said}")
    Manifest.read()
    FINGERPRINT.write_text(taken + "\n")
    return True


def dbt_arguments(settings: Settings, target: Path) -> list[str]:
    """What each dbt command of ours is told; its artifacts and logs go to a folder of its own.

    The manifest that Airflow reads stays as it is. The parse is kept for the next command: it must
    have the same target, or the next one parses the project anew. dbt refuses the path of a parse
    that is not there, as on MWAA, where nothing can be kept beside the project.
    """
    kept = PROJECT / "target" / "partial_parse.msgpack"
    return [
        *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
        *("--target", settings.target),
        *("--target-path", str(target), "--log-path", str(target)),
        *(("--partial-parse-file-path", str(kept)) if kept.is_file() else ()),
    ]


def install_dbt(executable: str) -> str:
    """What to do if dbt's environment is not as it must be; on MWAA `startup.sh` makes it."""
    if not PACKAGED:
        # Make trusts its stamps: what was changed by hand below .venv it does not install again.
        return "run `rm -rf .venv && make install`"
    failed = Path(executable).parent.parent.with_suffix(".failed")
    why = f"startup.sh says: {failed.read_text().strip()}; " if failed.is_file() else ""
    return (
        f"{why}wait if the MWAA environment is being updated; else see what startup.sh has logged "
        "in the log group of the workers, mend it, and run `make deploy` with ARGS=--update"
    )


def shown(path: Path) -> str:
    """A path as the checkout's user knows it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


@command
def main() -> int:
    """Make the manifest if need be."""
    if make(Settings.from_env(os.environ)):
        print(f"Made {shown(MANIFEST)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
