"""`python -m include.deployment.mwaa.package`: make the package for MWAA in `dist/mwaa`.

Its folder `dags/` is synced to S3. It holds the DAGs, `dbt/` with its manifest, and `include/`.
MWAA reads `plugins.zip`, `requirements.txt` and `startup.sh` only when an environment is created
or updated. The file `dags/include/airflow_version.txt` names the version of Airflow for which
the package was made; preflight refuses any other version. The same checkout always gives the same
bytes, so that a deploy uploads only the files that have changed.
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
from pathlib import Path

from include.command import command
from include.deployment.mwaa import versions
from include.deployment.mwaa.wheels import download_wheels
from include.manifest import fingerprint
from include.settings import AIRFLOW_PREFIX, AIRFLOW_VERSION, PREFIX, ROOT, UserError

DIST = ROOT / "dist" / "mwaa"
DAGS = "dags"
MANIFEST = "dags/dbt/target/manifest.json"
FINGERPRINT = "dags/dbt/target/manifest.fingerprint"
VERSION = f"{DAGS}/{AIRFLOW_VERSION.relative_to(ROOT)}"
"""The file that names the version of Airflow for which the package was made."""
PLUGINS, REQUIREMENTS, STARTUP = "plugins.zip", "requirements.txt", "startup.sh"
WHEELS = "wheels"
"""The folder of the wheels: `airflow/` holds what `requirements.txt` adds to MWAA's image, `dbt/`
holds the packages of dbt's lock."""
NOT_ON_MWAA = frozenset({"aws", "deployment", "laptop", "requirements"})
"""Folders of `include/` that only a checkout uses."""
LOCK = "include/requirements/dbt.txt"
MWAA_HOME = "/usr/local/airflow"
"""AIRFLOW_HOME on MWAA. It cannot be changed."""
MWAA_DAGS = f"{MWAA_HOME}/dags"
WHEELHOUSE = f"{MWAA_HOME}/game_analytics_wheels"
"""The folder to which `startup.sh` downloads the wheels."""


def package(dist: Path = DIST, wheels: str | None = None, airflow: str = versions.DEFAULT) -> None:
    """Make the package in a temporary folder, then replace the folder `dist` by it.

    `airflow` is the version of Airflow that the environment has. `wheels` is the prefix to which a
    deploy will upload the wheels, `s3://bucket/prefix`. Without it the package has no wheels. The
    manifest of the last package is used again if the project is the same. Raises UserError if there
    is no lock for this version of Airflow, if the project does not parse, or if a wheel cannot be
    downloaded.
    """
    new = dist.with_name(f".{dist.name}-new")
    shutil.rmtree(new, ignore_errors=True)
    for path, content in {**sources(airflow), **updates(wheels, airflow)}.items():
        _write(new / path, content)
    made = dist / FINGERPRINT
    if made.is_file() and made.read_text().strip() == fingerprint():
        for path in (MANIFEST, FINGERPRINT):
            _write(new / path, (dist / path).read_bytes())
    else:
        _make_manifest(new / DAGS)
    if wheels:
        download_wheels(new / WHEELS, dist / WHEELS, airflow)
    shutil.rmtree(dist, ignore_errors=True)
    new.rename(dist)


def sources(airflow: str = versions.DEFAULT) -> dict[str, bytes]:
    """The content of the files in `dags/` except the manifest, by path in the package."""
    paths = [*(ROOT / DAGS).glob("*.py"), ROOT / DAGS / ".airflowignore", ROOT / LOCK]
    paths += _files(ROOT / "dbt", {"target", "logs"})
    paths += _files(ROOT / "include", NOT_ON_MWAA)
    found = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(paths)}
    return {
        **{f"{DAGS}/{path.removeprefix('dags/')}": content for path, content in found.items()},
        VERSION: f"{airflow}\n".encode(),
    }


def updates(wheels: str | None = None, airflow: str = versions.DEFAULT) -> dict[str, bytes]:
    """The content of the files that MWAA reads only when an environment is created or updated.

    The key is the path in the package. For `wheels` and `airflow` see `package`.
    """
    requirements = versions.requirements(airflow)
    if wheels:
        requirements = f"--no-index\n--find-links {WHEELHOUSE}/airflow\n{requirements}"
    startup = (ROOT / "include" / "aws" / "startup.sh").read_text()
    startup = startup.replace("@WHEELS@", wheels or "")
    startup = startup.replace("@LOCK@", (ROOT / LOCK).read_text().strip())
    return {
        PLUGINS: _plugins(),
        REQUIREMENTS: requirements.encode(),
        STARTUP: startup.encode(),
    }


def outdated(dist: Path = DIST) -> list[str]:
    """The paths in a package whose files differ from those that this checkout would give now."""
    there = {
        path.relative_to(dist).as_posix(): path.read_bytes()
        for folder in (dist, dist / DAGS)
        for path in (folder.rglob("*") if folder.name == DAGS else folder.glob("*"))
        if path.is_file()
    }
    airflow = airflow_of(dist)
    expected = {**sources(airflow), **updates(wheels_of(dist), airflow)}
    made = there.pop(FINGERPRINT, b"").decode().strip()
    manifest = [] if there.pop(MANIFEST, None) and made == fingerprint() else [MANIFEST]
    differing = {path for path in {*there, *expected} if there.get(path) != expected.get(path)}
    return sorted({*differing, *manifest})


def airflow_of(dist: Path) -> str:
    """Return the version of Airflow for which a package was made.

    If the package does not name it, or there is no lock for it, this is the default version.
    """
    made = dist / VERSION
    version = made.read_text().strip() if made.is_file() else ""
    return version if version in versions.supported() else versions.DEFAULT


def wheels_of(dist: Path) -> str | None:
    """The S3 prefix that a package names for its wheels, or None if it has no wheels."""
    startup = dist / STARTUP
    text = startup.read_text() if startup.is_file() else ""
    found = re.search(r'^game_analytics_wheels="(s3://[^"]+)"$', text, re.MULTILINE)
    return found[1] if found else None


def _files(folder: Path, without: Iterable[str]) -> Iterator[Path]:
    """The files of a folder except READMEs, hidden files, and the folders in `without`."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        left_out = parts[0] in without or any(
            part in {"__pycache__", "README.md"} or part.startswith(".") for part in parts
        )
        if path.is_file() and not left_out:
            yield path


def _plugins() -> bytes:
    """The content of `plugins.zip`.

    It is not compressed, because the compressed bytes would depend on the version of zlib.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted([*(ROOT / "plugins").glob("*.py"), ROOT / "plugins" / ".airflowignore"]):
            entry = zipfile.ZipInfo(path.name)
            entry.external_attr = 0o644 << 16
            # The default is the operating system that makes the file; 3 is Unix.
            entry.create_system = 3
            packed.writestr(entry, path.read_bytes())
    return archive.getvalue()


def _make_manifest(dags: Path) -> None:
    """Parse the packaged project with dbt, and keep a manifest that any machine would make.

    `dags` is the folder `dags/` of the package. Raises UserError if the project does not parse.
    """
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
    """A manifest without the values that differ when the same files are parsed again."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            constant = {"created_at": 0, "root_path": f"{MWAA_DAGS}/dbt"}
            return {
                # A column may have such a name too; its value is a mapping and stays.
                name: constant[name]
                if name in constant and isinstance(inner, (str, int, float))
                else plain(inner)
                for name, inner in value.items()
            }
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    def in_order(graph: object) -> object:
        assert isinstance(graph, Mapping)
        return {name: sorted(nodes) for name, nodes in graph.items()}

    metadata = manifest["metadata"]
    assert isinstance(metadata, Mapping)
    varying = (
        "generated_at",
        "invocation_id",
        "invocation_started_at",
        "user_id",
        "run_started_at",
    )
    kept = {name: value for name, value in metadata.items() if name not in varying}
    # The schema of the manifest has this field, so a reader may need it.
    kept["generated_at"] = "1970-01-01T00:00:00Z"
    graphs = {name: in_order(manifest[name]) for name in ("parent_map", "child_map", "group_map")}
    cleaned = plain({**manifest, "metadata": kept, **graphs})
    assert isinstance(cleaned, dict)
    # Deeper levels are not sorted, because the order of a table's columns has a meaning.
    return {
        section: dict(sorted(content.items())) if isinstance(content, dict) else content
        for section, content in sorted(cleaned.items())
    }


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def size(path: Path) -> int:
    """The size in bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


@command
def main() -> int:
    """Make the package and print the size of each part."""
    parser = argparse.ArgumentParser(
        prog="python -m include.deployment.mwaa.package", description=__doc__
    )
    parser.add_argument("--wheels", action="store_true", help="Add the wheels to the package.")
    parser.add_argument("--bucket", default="", help="MWAA's bucket, which will hold the wheels.")
    parser.add_argument(
        "--airflow", default="", help=f"The environment's version of Airflow: {versions.DEFAULT}."
    )
    arguments = parser.parse_args()
    airflow = arguments.airflow or versions.DEFAULT
    if arguments.wheels and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", arguments.bucket):
        raise UserError(
            "startup.sh downloads the wheels from MWAA's bucket, so WHEELS=1 needs its name: "
            "`make package WHEELS=1 BUCKET=<MWAA's bucket>`."
        )
    wheels = f"s3://{arguments.bucket}/{WHEELS}" if arguments.wheels else None
    package(wheels=wheels, airflow=airflow)
    print(f"for Airflow {airflow}")
    for path in sorted(DIST.iterdir()):
        print(f"{path.relative_to(ROOT)}{'/' * path.is_dir():1} {size(path) / 1e6:8.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
