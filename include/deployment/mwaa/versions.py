"""The versions of Airflow for which `make package` can make the package."""

from __future__ import annotations

import re
from pathlib import Path

from include.settings import ROOT, UserError

LOCKS = ROOT / "include" / "requirements"
DEFAULT = "3.3.1"
"""The version of the checkout's own Airflow environment, and of a package without `AIRFLOW=…`."""


def lock_name(airflow: str) -> str:
    """Return the name of the lock for a version of Airflow: its files are `<name>.in` and `.txt`.

    Raises UserError if there is none.
    """
    name = "airflow" if airflow == DEFAULT else f"airflow-{airflow}"
    if not (LOCKS / f"{name}.txt").is_file():
        raise UserError(
            f"the package cannot be made for Airflow {airflow}, only for {', '.join(supported())}: "
            f"name one of them with AIRFLOW=…, or write {name}.in beside the other lists in "
            f"include/requirements and run `make lock AIRFLOW={airflow} CONSTRAINTS=…`."
        )
    return name


def supported() -> list[str]:
    """Return the versions of Airflow that have a lock."""
    others = (path.stem.removeprefix("airflow-") for path in LOCKS.glob("airflow-[0-9]*.txt"))
    return sorted([DEFAULT, *others])


def requirements(airflow: str) -> str:
    """Return the text of `requirements.txt` for a version of Airflow."""
    name = lock_name(airflow)
    if airflow == DEFAULT:
        return (ROOT / "requirements.txt").read_text()
    pins = re.findall(r"(?m)^[a-z].*$", (LOCKS / f"{name}.in").read_text())
    comment = (
        f"# For Airflow {airflow}. MWAA installs this list under the constraints of its image."
    )
    return "\n".join([comment, *pins, ""])


def lock_file(airflow: str) -> Path:
    """Return the lock of all packages of a version of Airflow, with their hashes."""
    return LOCKS / f"{lock_name(airflow)}.txt"
