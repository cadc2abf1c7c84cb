"""`python -m include.deployment.mwaa.package`: the package as MWAA takes it, in `dist/mwaa`.

`dags/` is what is synced to S3: the DAGs, `dbt/` with its manifest, and `include/`. MWAA reads
`plugins.zip`, `requirements.txt` and `startup.sh` only when an environment is made or updated.
The same tree makes the same bytes, so that a deploy moves what has changed and nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from include.command import command
from include.manifest import fingerprint
from include.settings import AIRFLOW_PREFIX, PREFIX, ROOT, UserError

DIST = ROOT / "dist" / "mwaa"
DAGS = "dags"
MANIFEST = "dags/dbt/target/manifest.json"
FINGERPRINT = "dags/dbt/target/manifest.fingerprint"
PLUGINS, REQUIREMENTS, STARTUP = "plugins.zip", "requirements.txt", "startup.sh"
WHEELS = "wheels"
"""`wheels/airflow`: what `requirements.txt` adds to MWAA's image; `wheels/dbt`: dbt's lock."""

NOT_ON_MWAA = frozenset({"aws", "deployment", "laptop", "requirements"})
"""Folders of `include/` that serve a checkout alone."""
LOCK = "include/requirements/dbt.txt"
MWAA_PYTHON = {
    "python_version": "3.12",
    "python_full_version": "3.12.13",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
"""The interpreter of MWAA's image for Airflow 3.3.1, as the markers of requirements know it."""
PLATFORMS = (
    *(f"manylinux_2_{minor}" for minor in range(34, 4, -1)),
    *("manylinux2014", "manylinux2010", "manylinux1"),
)
"""What Amazon Linux 2023 (glibc 2.34) can load, see PEP 600."""
MWAA_HOME = "/usr/local/airflow"
"""AIRFLOW_HOME cannot be another on MWAA."""
MWAA_DAGS = f"{MWAA_HOME}/dags"
WHEELHOUSE = f"{MWAA_HOME}/game_analytics_wheels"
"""Where `startup.sh` puts the wheels."""


def package(dist: Path = DIST, wheels: str | None = None) -> None:
    """Make the package in a folder of its own, then put it in the place of the last one.

    `wheels` is where the wheels will lie, `s3://bucket/prefix`. Raises UserError if the project
    does not parse or a wheel cannot be had.
    """
    new = dist.with_name(f".{dist.name}-new")
    shutil.rmtree(new, ignore_errors=True)
    for path, content in {**sources(), **updates(wheels)}.items():
        _write(new / path, content)
    made = dist / FINGERPRINT
    if made.is_file() and made.read_text().strip() == fingerprint():
        for path in (MANIFEST, FINGERPRINT):
            _write(new / path, (dist / path).read_bytes())
    else:
        _make_manifest(new / DAGS)
    if wheels:
        _download_wheels(new / WHEELS, dist / WHEELS)
    shutil.rmtree(dist, ignore_errors=True)
    new.rename(dist)


def sources() -> dict[str, bytes]:
    """What `dags/` holds, by its path in the package, without the manifest."""
    paths = [*(ROOT / DAGS).glob("*.py"), ROOT / DAGS / ".airflowignore", ROOT / LOCK]
    paths += _files(ROOT / "dbt", {"target", "logs"})
    paths += _files(ROOT / "include", NOT_ON_MWAA)
    found = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(paths)}
    return {f"{DAGS}/{path.removeprefix('dags/')}": found[path] for path in found}


def updates(wheels: str | None = None) -> dict[str, bytes]:
    """The files that MWAA reads when an environment is updated, by their path in the package."""
    requirements = (ROOT / "requirements.txt").read_text()
    if wheels:
        requirements = f"--no-index\n--find-links {WHEELHOUSE}/airflow\n{requirements}"
    startup = (ROOT / "include" / "aws" / "startup.sh").read_text()
    startup = startup.replace("@WHEELS@", wheels or "")
    startup = startup.replace("@LOCK@", for_mwaa((ROOT / LOCK).read_text()).strip())
    return {
        PLUGINS: _plugins(),
        REQUIREMENTS: requirements.encode(),
        STARTUP: startup.encode(),
    }


def outdated(dist: Path = DIST) -> list[str]:
    """The files of a package that are not those of the tree as it is now, by their path in it."""
    there = {
        path.relative_to(dist).as_posix(): path.read_bytes()
        for folder in (dist, dist / DAGS)
        for path in (folder.rglob("*") if folder.name == DAGS else folder.glob("*"))
        if path.is_file()
    }
    expected = {**sources(), **updates(wheels_of(dist))}
    made = there.pop(FINGERPRINT, b"").decode().strip()
    apart = [] if there.pop(MANIFEST, None) and made == fingerprint() else [MANIFEST]
    differing = {path for path in {*there, *expected} if there.get(path) != expected.get(path)}
    return sorted({*differing, *apart})


def wheels_of(dist: Path) -> str | None:
    """Where the wheels of a package are to lie, None if it has none."""
    startup = dist / STARTUP
    text = startup.read_text() if startup.is_file() else ""
    found = re.search(r'^game_analytics_wheels="(s3://[^"]+)"$', text, re.MULTILINE)
    return found[1] if found else None


def for_mwaa(lock: str, names: Iterable[str] | None = None) -> str:
    """The requirements of a universal lock that hold on MWAA; of these names alone, if given."""
    wanted = None if names is None else set(names)
    kept = []
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        found = re.match(
            r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==[^ ;\\\n]+( ; ([^\\\n]+?))?(?= \\\n|\n)", entry
        )
        if not found:
            continue
        holds = not found[3] or Marker(found[3]).evaluate(MWAA_PYTHON)
        if holds and (wanted is None or canonicalize_name(found[1]) in wanted):
            kept.append(entry.replace(found[2] or "\0", "").rstrip())
    return "\n".join(kept) + "\n"


def beyond_the_image() -> set[str]:
    """What `requirements.txt` needs beyond Airflow and the Amazon provider, which MWAA has."""
    asked = re.findall(r"(?m)^([A-Za-z0-9._-]+)==", (ROOT / "requirements.txt").read_text())
    return _closure(*asked) - _closure("apache-airflow", "apache-airflow-providers-amazon")


def _closure(*names: str) -> set[str]:
    """The names of packages with all that they need, as they are installed here."""
    seen: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            # Of another platform.
            continue
        seen.add(name)
        waiting.extend(
            canonicalize_name(need.name)
            for need in map(Requirement, needs)
            if not need.marker or need.marker.evaluate({**MWAA_PYTHON, "extra": ""})
        )
    return seen


def _files(folder: Path, without: Iterable[str]) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        left_out = parts[0] in without or any(
            part == "__pycache__" or part.startswith(".") for part in parts
        )
        if path.is_file() and not left_out:
            yield path


def _plugins() -> bytes:
    """The zip; not compressed, since another zlib would make other bytes of the same files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted([*(ROOT / "plugins").glob("*.py"), ROOT / "plugins" / ".airflowignore"]):
            entry = zipfile.ZipInfo(path.name)
            entry.external_attr = 0o644 << 16
            # Else it says on which system it was made.
            entry.create_system = 3
            packed.writestr(entry, path.read_bytes())
    return archive.getvalue()


def _make_manifest(dags: Path) -> None:
    """Let dbt parse the packaged project; what it says of the time and the machine goes."""
    ours = (PREFIX, AIRFLOW_PREFIX)
    settings = {
        f"{PREFIX}TARGET": "redshift",
        f"{PREFIX}LAKE": "s3://package/lake",
        f"{PREFIX}DBT_EXECUTABLE": str(ROOT / ".venv" / "dbt" / "bin" / "dbt"),
    }
    made = subprocess.run(
        [sys.executable, "-m", "include.manifest"],
        cwd=dags,
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith(ours)},
            **settings,
            "PYTHONPATH": str(dags),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise UserError(made.stderr.strip().removeprefix("error: "))
    target = dags / "dbt" / "target"
    manifest = reproducible(json.loads((target / "manifest.json").read_bytes()))
    taken = (target / "manifest.fingerprint").read_bytes()
    shutil.rmtree(target)
    shutil.rmtree(dags / "dbt" / "logs", ignore_errors=True)
    _write(target / "manifest.json", json.dumps(manifest).encode())
    _write(target / "manifest.fingerprint", taken)


def reproducible(manifest: Mapping[str, object]) -> object:
    """A manifest without what another parse of the same files would say otherwise."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            known = {"created_at": 0, "root_path": f"{MWAA_DAGS}/dbt"}
            return {
                # A column may have such a name as well.
                name: known[name]
                if name in known and isinstance(inner, (str, int, float))
                else plain(inner)
                for name, inner in value.items()
            }
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    def in_order(graph: object) -> object:
        assert isinstance(graph, Mapping)
        return {name: sorted(nodes) for name, nodes in graph.items()}

    told = manifest["metadata"]
    assert isinstance(told, Mapping)
    varying = (
        "generated_at",
        "invocation_id",
        "invocation_started_at",
        "user_id",
        "run_started_at",
    )
    kept = {name: value for name, value in told.items() if name not in varying}
    # The field that readers of the schema may ask for.
    kept["generated_at"] = "1970-01-01T00:00:00Z"
    graphs = {name: in_order(manifest[name]) for name in ("parent_map", "child_map", "group_map")}
    told_again = plain({**manifest, "metadata": kept, **graphs})
    assert isinstance(told_again, dict)
    # Not deeper: the columns of a table are in an order that means something.
    return {
        section: dict(sorted(content.items())) if isinstance(content, dict) else content
        for section, content in sorted(told_again.items())
    }


def _download_wheels(folder: Path, known: Path) -> None:
    """Download what MWAA cannot fetch where it has no package index, hashes checked.

    What lies in `known` already, the wheels of the last package, is not downloaded again.
    """
    locks = ROOT / "include" / "requirements"
    wanted = {
        "airflow": for_mwaa((locks / "airflow.txt").read_text(), beyond_the_image()),
        "dbt": for_mwaa((locks / "dbt.txt").read_text()),
    }
    for name, lock in wanted.items():
        (folder / name).mkdir(parents=True)
        list_file = folder / f"{name}.txt"
        list_file.write_text(lock)
        platforms = [word for tag in PLATFORMS for word in ("--platform", f"{tag}_x86_64")]
        command = [
            *(str(ROOT / ".venv" / "uv" / "bin" / "python"), "-m", "pip", "download"),
            *("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--python-version", "3.12", *platforms),
            *("--dest", str(folder / name), "--requirement", str(list_file)),
        ]
        for origin in (["--no-index", "--find-links", str(known / name)], []):
            downloaded = subprocess.run(
                [*command, *origin], capture_output=True, text=True, check=False
            )
            if downloaded.returncode == 0:
                break
        list_file.unlink()
        if downloaded.returncode:
            said = downloaded.stderr.strip().splitlines()[-1:]
            raise UserError(
                f"the wheels of {name} cannot be downloaded ({' '.join(said)}): `make package "
                "WHEELS=1` needs a package index, MWAA then needs none."
            )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


@command
def main() -> int:
    """Make the package and say what is in it."""
    parser = argparse.ArgumentParser(
        prog="python -m include.deployment.mwaa.package", description=__doc__
    )
    parser.add_argument("--wheels", action="store_true", help="Add the wheels.")
    parser.add_argument("--bucket", default="", help="MWAA's bucket, in which the wheels will lie.")
    asked = parser.parse_args()
    if asked.wheels and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", asked.bucket):
        raise UserError(
            "startup.sh must know where the wheels will lie: "
            "`make package WHEELS=1 BUCKET=<MWAA's bucket>`."
        )
    package(wheels=f"s3://{asked.bucket}/{WHEELS}" if asked.wheels else None)
    for path in sorted(DIST.iterdir()):
        print(f"{path.relative_to(ROOT)}{'/' * path.is_dir():1} {size(path) / 1e6:8.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
