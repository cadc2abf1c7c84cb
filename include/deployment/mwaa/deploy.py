"""`python -m include.deployment.mwaa.deploy`: `dist/mwaa` to the bucket of an MWAA environment.

First everything is looked at, and nothing is changed if something is wrong; `--plan` ends there.
Then: the wheels; the files of `dags/` that differ, and those that are gone; last the manifest and
its fingerprint, so that a run that sees only a part of `dbt/` fails in preflight and says so. If
`plugins.zip`, `requirements.txt` or `startup.sh` have changed, the environment is updated, which
takes MWAA 20 to 30 minutes; tasks that run meanwhile may come to their end. `--first` brings the
files alone, for an environment that is made next.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.command import command
from include.deployment.mwaa.package import (
    DAGS,
    DIST,
    FINGERPRINT,
    MANIFEST,
    PLUGINS,
    REQUIREMENTS,
    STARTUP,
    WHEELS,
    outdated,
    size,
    wheels_of,
)
from include.object_store import CONNECTIONS, AwsError, aws_client, aws_errors
from include.settings import UserError

AIRFLOW = "3.3.1"
"""The version that `requirements.txt` and the tests are made for."""
LAST = (MANIFEST, FINGERPRINT)
"""In this order: while the fingerprint is an old one, preflight lets no run begin."""
SHA256 = "sha256"
"""Metadata of each object that a deploy wrote: under KMS an ETag is no hash of the content.

It also says whose an object is. What has none is another's: it is neither replaced nor deleted.
"""
IGNORE = ".airflowignore"
UPDATES = {
    PLUGINS: ("PluginsS3Path", "PluginsS3ObjectVersion"),
    REQUIREMENTS: ("RequirementsS3Path", "RequirementsS3ObjectVersion"),
    STARTUP: ("StartupScriptS3Path", "StartupScriptS3ObjectVersion"),
}
"""What an environment calls each of these files, and the version of it that it uses."""
RIGHTS = "let the role that deploys do that, see *Deploy to MWAA* in include/aws/README.md"
MAX_PLUGINS = 1_000_000_000
"""More than that MWAA does not take (its guide, "Custom plugins directory and size limits")."""


@dataclass(frozen=True)
class Plan:
    """What a deploy does: files by their key in the bucket, and keys to remove.

    `environment` is empty before there is one. `last` comes after all others of `dags/`. `replace`
    are files of which the environment is to take a new version, `update` is what
    `update_environment` is told beside these versions.
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
        """The plan in words."""
        for key in (*self.upload, *self.last, *self.replace):
            yield f"upload s3://{self.bucket}/{key}"
        for key in self.delete:
            yield f"delete s3://{self.bucket}/{key}"
        changed = [*self.replace, *(name for name in self.update if name.endswith("Path"))]
        if self.environment and (changed or self.forced):
            yield f"update environment {self.environment}: {', '.join(changed) or 'as it is'}"
        elif not (self.upload or self.last or self.delete or self.replace):
            yield "nothing to do"


class Target:
    """An MWAA environment, none if its name is empty, and its bucket.

    Whatever AWS refuses is a UserError.
    """

    def __init__(self, environment: str, bucket: str, s3: Any = None, mwaa: Any = None) -> None:
        self.name = environment
        self.bucket = bucket
        self.s3 = s3 or aws_client("s3")
        self.mwaa = mwaa or aws_client("mwaa")

    def environment(self) -> Mapping[str, Any]:
        """The environment as MWAA describes it; raises UserError if it cannot take the package."""
        remedy = "name one that exists in this account and Region with ENVIRONMENT=…"
        with explained(f"the environment {self.name}", ResourceNotFoundException=remedy):
            found: Mapping[str, Any] = self.mwaa.get_environment(Name=self.name)["Environment"]
        if (status := found["Status"]) not in {"AVAILABLE", "UPDATE_FAILED"}:
            raise UserError(
                f"the environment {self.name} is {status}: wait until it is AVAILABLE "
                "(`aws mwaa get-environment`), then run this again."
            )
        if (version := found.get("AirflowVersion")) != AIRFLOW:
            raise UserError(
                f"the environment {self.name} has Airflow {version}, the package is for {AIRFLOW}: "
                f"update the environment to {AIRFLOW}, or name another with ENVIRONMENT=…."
            )
        if (own := str(found.get("SourceBucketArn", "")).rpartition(":")[2]) != self.bucket:
            raise UserError(
                f"the environment {self.name} reads the bucket {own}, not {self.bucket}: "
                f"run this with BUCKET={own}."
            )
        return found

    def check_bucket(self) -> None:
        """The bucket is there, keeps versions and is not public, as MWAA asks for."""
        where = f"the bucket {self.bucket}"
        missing = {"NoSuchBucket": "name the environment's bucket with BUCKET=…"}
        with explained(where, **missing):
            versioning = self.s3.get_bucket_versioning(Bucket=self.bucket).get("Status")
        if versioning != "Enabled":
            raise UserError(
                f"{where} keeps no versions, which MWAA needs: `aws s3api put-bucket-versioning "
                f"--bucket {self.bucket} --versioning-configuration Status=Enabled`."
            )
        block = {}
        try:
            with explained(where, NoSuchPublicAccessBlockConfiguration="…"):
                block = self.s3.get_public_access_block(Bucket=self.bucket)
        except AwsError as refusal:
            if refusal.code != "NoSuchPublicAccessBlockConfiguration":
                raise
        shut = block.get("PublicAccessBlockConfiguration", {})
        names = (
            "BlockPublicAcls",
            "IgnorePublicAcls",
            "BlockPublicPolicy",
            "RestrictPublicBuckets",
        )
        if open_ := [name for name in names if not shut.get(name)]:
            asked = ",".join(f"{name}=true" for name in names)
            raise UserError(
                f"{where} does not block public access ({', '.join(open_)}): "
                f"`aws s3api put-public-access-block --bucket {self.bucket} "
                f"--public-access-block-configuration {asked}`."
            )

    def objects(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The objects below a prefix, by key."""
        with explained(f"the bucket {self.bucket}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            return {entry["Key"]: entry for page in pages for entry in page.get("Contents", [])}

    def is_same(self, key: str, path: Path, entry: Mapping[str, Any] | None) -> bool:
        """Whether an object, as it was listed, holds what a file holds."""
        if entry is None or entry["Size"] != path.stat().st_size:
            return False
        return _holds(entry, path) or _holds(self.head(key) or entry, path)

    def head(self, key: str, version: str | None = None) -> Mapping[str, Any] | None:
        """What S3 says of an object, or of a version of it; None if that is gone."""
        asked = {"VersionId": version} if version else {}
        gone = {"404": "…", "NoSuchKey": "…", "NoSuchVersion": "…", "400": "…"}
        try:
            with explained(f"s3://{self.bucket}/{key}", **gone):
                found: Mapping[str, Any] = self.s3.head_object(Bucket=self.bucket, Key=key, **asked)
        except AwsError as refusal:
            if refusal.code not in gone:
                raise
            return None
        return found

    def wrote(self, key: str) -> bool:
        """Whether an object is there that a deploy wrote."""
        found = self.head(key)
        return found is not None and SHA256 in found["Metadata"]

    def put(self, key: str, path: Path) -> str:
        """Write an object; returns its version."""
        content = path.read_bytes()
        with explained(f"s3://{self.bucket}/{key}"):
            written = self.s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=content,
                Metadata={SHA256: hashlib.sha256(content).hexdigest()},
            )
        return str(written.get("VersionId", ""))

    def delete(self, key: str) -> None:
        """Remove an object; its versions stay."""
        with explained(f"s3://{self.bucket}/{key}"):
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def update(self, arguments: Mapping[str, str]) -> None:
        """Let MWAA replace its components; a task that runs may come to its end."""
        with explained(f"the environment {self.name}"):
            self.mwaa.update_environment(
                Name=self.name, WorkerReplacementStrategy="GRACEFUL", **arguments
            )


def explained(what: str, **remedies: str) -> AbstractContextManager[None]:
    """Raise AwsError for what AWS refuses, with the remedies of a deploy by AWS's codes."""
    return aws_errors(what, denied=RIGHTS, **remedies)


def _holds(found: Mapping[str, Any], path: Path) -> bool:
    """Whether an object, by what S3 says of it, holds what a file holds."""
    content = path.read_bytes()
    if found["ETag"].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest():
        return True
    return bool(found.get("Metadata", {}).get(SHA256) == hashlib.sha256(content).hexdigest())


def check_package(dist: Path, bucket: str) -> None:
    """The package is there, belongs to the tree as it is, and is not too big; raises UserError."""
    again = "run `make package`"
    if not (dist / FINGERPRINT).is_file():
        raise UserError(f"{dist} holds no package: {again}.")
    if differing := outdated(dist):
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UserError(f"{dist} was made of other files ({differing[0]}{more}): {again}.")
    wheels = wheels_of(dist)
    if wheels and wheels != f"s3://{bucket}/{WHEELS}":
        raise UserError(
            f"startup.sh looks for wheels at {wheels}: {again} with WHEELS=1 BUCKET={bucket}."
        )
    if wheels and not any((dist / WHEELS).rglob("*.whl")):
        raise UserError(f"{dist / WHEELS} is gone: {again} with WHEELS=1 BUCKET={bucket}.")
    if size(dist / PLUGINS) > MAX_PLUGINS:
        raise UserError(f"{dist / PLUGINS} is larger than 1 GB, which MWAA does not take.")


def plan(
    target: Target, dist: Path = DIST, *, force: bool = False, replace_others: bool = False
) -> Plan:
    """Look at everything; raises UserError for what would fail. Nothing is changed.

    What the package has and no deploy wrote is replaced only if `replace_others` says so.
    """
    check_package(dist, target.bucket)
    environment = target.environment() if target.name else {}
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
        # The wheels first: whoever starts meanwhile finds all that the lock names.
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
    """Whether a key lies where this package writes; others may write there, too.

    Wheels stay: a worker that starts before the environment is updated looks for those of before.
    """
    inside = key.removeprefix(f"{prefix}/")
    if key.startswith(f"{WHEELS}/"):
        return False
    return inside.startswith(("include/", "dbt/")) or (
        "/" not in inside and inside.startswith("game_analytics") and inside.endswith(".py")
    )


def _check_others(target: Target, files: Mapping[str, Path]) -> None:
    """Nothing that a file would replace is another's; raises UserError if something is."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        heads = pool.map(target.head, files)
        others = [
            f"s3://{target.bucket}/{key}"
            for (key, path), found in zip(files.items(), heads, strict=True)
            if found and SHA256 not in found["Metadata"] and not _holds(found, path)
        ]
    if others:
        raise UserError(
            f"no deploy of this package wrote {' and '.join(others)}: name an environment of its "
            "own with ENVIRONMENT=…, or bring into this checkout what they hold and replace them "
            "with ARGS=--replace."
        )


def _check_ignored(
    target: Target, there: Mapping[str, Any], key: str, files: dict[str, Path]
) -> None:
    """Leave an `.airflowignore` of others; raises UserError if a line of ours is not in it."""
    path = files[key]
    if key not in there or target.is_same(key, path, there[key]) or target.wrote(key):
        return
    with explained(f"s3://{target.bucket}/{key}"):
        found = target.s3.get_object(Bucket=target.bucket, Key=key)["Body"].read().decode()
    ours = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    if missing := [line for line in ours if line not in found.splitlines()]:
        raise UserError(
            f"s3://{target.bucket}/{key} is another's and says nothing of {' and '.join(missing)}: "
            "add these lines to it."
        )
    del files[key]


def _updates(
    target: Target, environment: Mapping[str, Any], dist: Path
) -> tuple[dict[str, Path], dict[str, str]]:
    """What is to be uploaded of `UPDATES`, and what the environment is to be told beside that."""
    replace: dict[str, Path] = {}
    update: dict[str, str] = {}
    for name, (path_name, version_name) in UPDATES.items():
        key = str(environment.get(path_name) or name)
        used = environment.get(version_name)
        # Before there is an environment, the newest version is the one that it will be made with.
        is_used = not environment or (environment.get(path_name) and used)
        if is_used and (found := target.head(key, used)) and _holds(found, dist / name):
            continue
        replace[key] = dist / name
        update[path_name] = key
    return replace, update


def deploy(target: Target, planned: Plan, say: Callable[[str], None] = print) -> None:
    """Do what was planned, in an order that a run under way survives or notices."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for key, _ in zip(
            planned.upload,
            pool.map(lambda key: target.put(key, planned.upload[key]), planned.upload),
            strict=True,
        ):
            say(f"uploaded {key}")
    for key in planned.delete:
        target.delete(key)
        say(f"deleted {key}")
    for key, path in planned.last.items():
        target.put(key, path)
        say(f"uploaded {key}")
    arguments = dict(planned.update)
    for name, (path_name, version_name) in UPDATES.items():
        key = arguments.get(path_name, name)
        if key in planned.replace:
            arguments[version_name] = target.put(key, planned.replace[key])
            say(f"uploaded {key}")
    if planned.environment and (arguments or planned.forced):
        target.update(arguments)
        say(
            f"{planned.environment} is being updated, in 20 to 30 minutes: until then its workers "
            "have the dbt, plugins and packages of before."
        )


@command
def main() -> int:
    """Plan and deploy."""
    parser = argparse.ArgumentParser(
        prog="python -m include.deployment.mwaa.deploy", description=__doc__
    )
    parser.add_argument("--bucket", default="")
    parser.add_argument("--environment", default="")
    parser.add_argument("--plan", action="store_true", help="Say what would be done, and stop.")
    parser.add_argument("--update", action="store_true", help="Update the environment anyway.")
    parser.add_argument(
        "--replace", action="store_true", help="Replace also what no deploy of this package wrote."
    )
    parser.add_argument(
        "--first", action="store_true", help="There is no environment yet: bring it its files."
    )
    asked = parser.parse_args()
    if not asked.bucket or not (asked.environment or asked.first):
        raise UserError("say where to: `make deploy BUCKET=<bucket> ENVIRONMENT=<name>`.")
    target = Target("" if asked.first else asked.environment, asked.bucket)
    planned = plan(target, force=asked.update, replace_others=asked.replace)
    for line in planned.lines():
        print(f"would {line}" if asked.plan and line != "nothing to do" else line)
    total = sum(map(size, (*planned.upload.values(), *planned.last.values())))
    print(f"{total / 1e6:.2f} MB of {size(DIST) / 1e6:.2f} MB", flush=True)
    if not asked.plan:
        deploy(target, planned, say=lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
