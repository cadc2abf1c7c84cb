"""The wheels of `make package WHEELS=1`, for an MWAA network without a package index.

uv selects the packages that MWAA's platform needs, at the versions and hashes of the locks. pip
downloads their wheels and checks the hashes, because uv has no command that downloads wheels.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from include.deployment.mwaa.versions import LOCKS, lock_file, requirements
from include.settings import ROOT, UserError

PYTHON_VERSION = "3.12.13"
"""The Python of MWAA's image for Airflow 3.3.1; the image for Airflow 3.2.1 has Python 3.12 too."""
GLIBC_MINOR = 34
"""MWAA's image is based on Amazon Linux 2023, which has glibc 2.34."""
PIP_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR, 4, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
)
"""The platform tags of the wheels that this glibc can load (PEP 600); pip must be given each."""
IN_THE_IMAGE = re.compile(r"(?m)^apache-airflow.*$")
"""The lines of `requirements.txt` for what MWAA's image has: Airflow and the Amazon provider."""
PROGRAMS = ROOT / ".venv" / "uv" / "bin"


def download_wheels(folder: Path, known: Path, airflow: str) -> None:
    """Download the wheels for `requirements.txt` to `airflow/` and those of dbt's lock to `dbt/`.

    Packages that MWAA's image has already are left out. `known` is the folder of an earlier
    download, from which wheels that are still right are copied. Raises UserError if a package
    cannot be resolved or downloaded.
    """
    folder.mkdir(parents=True)
    text, lock = requirements(airflow), lock_file(airflow)
    image = folder / "image.txt"
    _resolve("airflow", lock, "\n".join(IN_THE_IMAGE.findall(text)), image)
    _resolve("airflow", lock, text, folder / "airflow.txt", "--excludes", str(image))
    _resolve("dbt", LOCKS / "dbt.txt", (LOCKS / "dbt.in").read_text(), folder / "dbt.txt")
    for name in ("airflow", "dbt"):
        command = [
            *(str(PROGRAMS / "python"), "-m", "pip", "download", "--quiet"),
            *("--disable-pip-version-check", "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--python-version", PYTHON_VERSION),
            *(word for tag in PIP_PLATFORMS for word in ("--platform", tag)),
            *("--dest", str(folder / name), "--requirement", str(folder / f"{name}.txt")),
        ]
        _run(name, command, ["--no-index", "--find-links", str(known / name)])
    for path in folder.glob("*.txt"):
        path.unlink()


def _resolve(name: str, lock: Path, text: str, output: Path, *options: str) -> None:
    """Write the packages that the requirements `text` needs on MWAA to `output`, with hashes.

    uv keeps the versions and hashes that it finds in an output file, so the lock is copied there.
    As a constraint, the lock turns a version that cannot be had into an error.
    """
    shutil.copy(lock, output)
    command = [
        *(str(PROGRAMS / "uv"), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"),
        *("--python", str(PROGRAMS / "python")),
        *("--python-platform", f"x86_64-manylinux_2_{GLIBC_MINOR}"),
        *("--python-version", PYTHON_VERSION, "--only-binary", ":all:", "--generate-hashes"),
        *("--constraint", str(lock), "--output-file", str(output), *options),
    ]
    _run(name, command, ["--offline"], text)


def _run(name: str, command: Sequence[str], local: Sequence[str], text: str = "") -> None:
    """Run a command with the options that make it use local files only, else without them.

    `text` is its standard input. Raises UserError if it fails both ways.
    """
    environment = {
        "UV_CACHE_DIR": str(ROOT / ".venv" / "cache"),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
        **os.environ,
    }
    for options in (local, ()):
        ended = subprocess.run(
            [*command, *options],
            input=text,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode == 0:
            return
    # uv explains its error in the lines that begin with "cause:"; pip writes the reason last.
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith("cause:")] or lines[-1:]
    raise UserError(
        f"the wheels of {name} cannot be downloaded ({' '.join(reasons)}): `make package "
        "WHEELS=1` needs a package index; MWAA then needs none."
    )
