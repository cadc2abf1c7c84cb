"""The plan of a deploy: the differences between `dist/mwaa` and what the bucket and MWAA hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.deployment.mwaa.package import (
    DAGS,
    DIST,
    FINGERPRINT,
    MANIFEST,
    PLUGINS,
    REQUIREMENTS,
    STARTUP,
    WHEELS,
    airflow_of,
    outdated,
    size,
    wheels_of,
)
from include.deployment.mwaa.target import SHA256, Target, explained, holds
from include.deployment.mwaa.versions import DEFAULT
from include.object_store import CONNECTIONS
from include.settings import UserError

LAST = (MANIFEST, FINGERPRINT)
"""The files that are uploaded last, in this order.

While the bucket has the fingerprint of the package before, preflight fails, so no run can begin
with a mixture of two packages.
"""
IGNORE = ".airflowignore"
UPDATES = {
    PLUGINS: ("PluginsS3Path", "PluginsS3ObjectVersion"),
    REQUIREMENTS: ("RequirementsS3Path", "RequirementsS3ObjectVersion"),
    STARTUP: ("StartupScriptS3Path", "StartupScriptS3ObjectVersion"),
}
"""Per file: the fields of an MWAA environment that hold its key and the S3 version in use."""
MAX_PLUGINS = 1_000_000_000
"""The largest `plugins.zip` in bytes that MWAA accepts.

Source: its user guide, "Custom plugins directory and size limits".
"""


@dataclass(frozen=True)
class Plan:
    """What a deploy does: the files to upload, by their key in the bucket, and the keys to delete.

    `environment` is the name of the environment, and empty before it exists. The files of `last`
    are uploaded after all other files of `dags/`. `replace` holds the files of `UPDATES` that are
    uploaded so that the environment takes their new versions. `update` holds the arguments of
    `update_environment` besides these versions. With `forced` the environment is updated even if
    nothing has changed.
    """

    environment: str
    bucket: str
    upload: Mapping[str, Path] = field(default_factory=dict)
    delete: Sequence[str] = ()
    last: Mapping[str, Path] = field(default_factory=dict)
    replace: Mapping[str, Path] = field(default_factory=dict)
    update: Mapping[str, str] = field(default_factory=dict)
    forced: bool = False

    def lines(self) -> Iterator[str]:
        """The plan as text, one line per change."""
        for key in (*self.upload, *self.last, *self.replace):
            yield f"upload s3://{self.bucket}/{key}"
        for key in self.delete:
            yield f"delete s3://{self.bucket}/{key}"
        changed = [*self.replace, *(name for name in self.update if name.endswith("Path"))]
        if self.environment and (changed or self.forced):
            files = ", ".join(changed) or "without a change"
            yield f"update environment {self.environment}: {files}"
        elif not (self.upload or self.last or self.delete or self.replace):
            yield "nothing to do"


def _command(dist: Path, bucket: str) -> str:
    """The command that makes a package of the same kind for this bucket."""
    words = ["make package"]
    if (airflow := airflow_of(dist)) != DEFAULT:
        words.append(f"AIRFLOW={airflow}")
    if wheels_of(dist):
        words.append(f"WHEELS=1 BUCKET={bucket}")
    return " ".join(words)


def check_package(dist: Path, bucket: str) -> None:
    """Check that the package exists, was made from this checkout and is not too large.

    Raises UserError if not.
    """
    again = f"run `{_command(dist, bucket)}`"
    if not (dist / FINGERPRINT).is_file():
        raise UserError(f"{dist} has no package: {again}.")
    if differing := outdated(dist):
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UserError(
            f"{dist} was not made from the files of this checkout ({differing[0]}{more}): {again}."
        )
    wheels = wheels_of(dist)
    if wheels and wheels != f"s3://{bucket}/{WHEELS}":
        raise UserError(
            f"the package's startup.sh downloads its wheels from {wheels}, not from {bucket}: "
            f"{again}."
        )
    if wheels and not any((dist / WHEELS).rglob("*.whl")):
        raise UserError(f"{dist / WHEELS} has no wheels: {again}.")
    if size(dist / PLUGINS) > MAX_PLUGINS:
        raise UserError(
            f"{dist / PLUGINS} is larger than 1 GB, which MWAA does not accept: remove files from "
            f"plugins/, then {again}."
        )


def make_plan(
    target: Target, dist: Path = DIST, *, force: bool = False, replace_others: bool = False
) -> Plan:
    """Compare the package with the bucket and the environment, and change nothing.

    A deploy never overwrites an object that no deploy wrote, unless `replace_others` is true.
    Raises UserError for everything that would make the deploy fail.
    """
    check_package(dist, target.bucket)
    environment = target.environment(airflow_of(dist)) if target.name else {}
    target.check_bucket()
    prefix = str(environment.get("DagS3Path") or DAGS).strip("/")
    there = target.objects(f"{prefix}/")
    files = {
        f"{prefix}/{path.relative_to(dist / DAGS).as_posix()}": path
        for path in sorted((dist / DAGS).rglob("*"))
        if path.is_file()
    }
    if wheels_of(dist):
        there |= target.objects(f"{WHEELS}/")
        files |= {
            path.relative_to(dist).as_posix(): path
            for path in sorted((dist / WHEELS).rglob("*.whl"))
        }
    _check_ignored(target, there, f"{prefix}/{IGNORE}", files)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        same = pool.map(lambda key: target.is_same(key, files[key], there.get(key)), files)
        changed = [key for key, is_same in zip(files, same, strict=True) if not is_same]
        gone = [key for key in sorted(there) if key not in files and _is_inside(key, prefix)]
        wrote = pool.map(target.wrote, gone)
        delete = [key for key, is_ours in zip(gone, wrote, strict=True) if is_ours]
    last = [f"{prefix}/{path.removeprefix('dags/')}" for path in LAST]
    replace, update = _updates(target, environment, dist)
    if not replace_others:
        _check_others(target, {key: files[key] for key in changed if key in there} | replace)
    return Plan(
        environment=target.name,
        bucket=target.bucket,
        # The wheels come first, so that a worker that starts meanwhile finds all wheels.
        upload={
            key: files[key]
            for key in sorted(changed, key=lambda key: not key.startswith(f"{WHEELS}/"))
            if key not in last
        },
        delete=delete,
        last={key: files[key] for key in last if key in changed},
        replace=replace,
        update=update,
        forced=force,
    )


def _is_inside(key: str, prefix: str) -> bool:
    """Whether this package writes objects at such a key. Other teams may write there as well.

    The answer for a wheel is no, so that no wheel is deleted: a worker that starts before the
    environment is updated still needs the wheels of the last package.
    """
    inside = key.removeprefix(f"{prefix}/")
    if key.startswith(f"{WHEELS}/"):
        return False
    return inside.startswith(("include/", "dbt/")) or (
        "/" not in inside and inside.startswith("game_analytics") and inside.endswith(".py")
    )


def _check_others(target: Target, files: Mapping[str, Path]) -> None:
    """Raise UserError if a file would overwrite an object that no deploy of this package wrote."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        heads = pool.map(target.head, files)
        others = [
            f"s3://{target.bucket}/{key}"
            for (key, path), found in zip(files.items(), heads, strict=True)
            if found and SHA256 not in found["Metadata"] and not holds(found, path)
        ]
    if others:
        raise UserError(
            f"no deploy of this package wrote {' and '.join(others)}: name with ENVIRONMENT=… an "
            "environment that only this package uses, or add the content of these objects to this "
            "checkout and overwrite them with ARGS=--replace."
        )


def _check_ignored(
    target: Target, there: Mapping[str, Any], key: str, files: dict[str, Path]
) -> None:
    """Keep an `.airflowignore` that no deploy wrote by removing ours from `files`.

    `there` holds the objects of the bucket, and `key` is the file's key. Raises UserError if the
    object lacks a line of ours.
    """
    path = files[key]
    if key not in there or target.is_same(key, path, there[key]) or target.wrote(key):
        return
    with explained(f"s3://{target.bucket}/{key}"):
        found = target.s3.get_object(Bucket=target.bucket, Key=key)["Body"].read().decode()
    ours = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    if missing := [line for line in ours if line not in found.splitlines()]:
        raise UserError(
            f"no deploy of this package wrote s3://{target.bucket}/{key}, and it lacks the lines "
            f"{' and '.join(missing)}: add these lines to it."
        )
    del files[key]


def _updates(
    target: Target, environment: Mapping[str, Any], dist: Path
) -> tuple[dict[str, Path], dict[str, str]]:
    """The files of `UPDATES` to upload, by key, and the new paths for `update_environment`."""
    replace: dict[str, Path] = {}
    update: dict[str, str] = {}
    for name, (path_name, version_name) in UPDATES.items():
        key = str(environment.get(path_name) or name)
        used = environment.get(version_name)
        # An environment that does not exist yet will be created with the newest versions.
        is_used = not environment or (environment.get(path_name) and used)
        if is_used and (found := target.head(key, used)) and holds(found, dist / name):
            continue
        replace[key] = dist / name
        update[path_name] = key
    return replace, update
