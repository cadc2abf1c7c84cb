"""The MWAA environment and the bucket that a deploy reads and writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from include.deployment.mwaa.versions import supported
from include.object_store import AwsError, aws_client, aws_errors, own_account, s3_client
from include.settings import UserError

SHA256 = "sha256"
"""The metadata field with the hash of an object's content, which every deploy writes.

Under KMS an ETag is no hash of the content. An object without this field was not written by a
deploy, so a deploy neither overwrites nor deletes it.
"""
RIGHTS = (
    "name a bucket of the account that deploys, and let the role that deploys do that, see "
    "*Deploy to MWAA* in include/aws/operations.md"
)


class Target:
    """An MWAA environment and its bucket. The name is empty before the environment exists.

    Every error of AWS becomes a UserError. The bucket must belong to the account that deploys, so
    that code and wheels never go into a bucket of somebody else.
    """

    def __init__(self, environment: str, bucket: str, s3: Any = None, mwaa: Any = None) -> None:
        self.name = environment
        self.bucket = bucket
        self.s3 = s3 or s3_client(own_account())
        self.mwaa = mwaa or aws_client("mwaa")

    def environment(self, airflow: str) -> Mapping[str, Any]:
        """The description of the environment; raises UserError if it cannot take the package.

        `airflow` is the version of Airflow for which the package was made.
        """
        remedy = "name one that exists in this account and Region with ENVIRONMENT=…"
        with explained(f"the environment {self.name}", ResourceNotFoundException=remedy):
            found: Mapping[str, Any] = self.mwaa.get_environment(Name=self.name)["Environment"]
        if (status := found["Status"]) not in {"AVAILABLE", "UPDATE_FAILED"}:
            raise UserError(
                f"the environment {self.name} is {status}: wait until it is AVAILABLE "
                "(`aws mwaa get-environment`), then run this again."
            )
        if (version := found.get("AirflowVersion")) != airflow:
            remedy = (
                f"run `make package AIRFLOW={version}` (with WHEELS=1 BUCKET=… for a network "
                "without a package index)"
                if version in supported()
                else f"update the environment to {airflow}"
            )
            raise UserError(
                f"the environment {self.name} has Airflow {version}, the package is for {airflow}: "
                f"{remedy}, or name another environment with ENVIRONMENT=…."
            )
        if (own := str(found.get("SourceBucketArn", "")).rpartition(":")[2]) != self.bucket:
            raise UserError(
                f"the environment {self.name} reads the bucket {own}, not {self.bucket}: "
                f"run this with BUCKET={own}."
            )
        return found

    def check_bucket(self) -> None:
        """Raise UserError unless the bucket exists, keeps versions and is not public.

        MWAA requires versions and a block of public access.
        """
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
            options = ",".join(f"{name}=true" for name in names)
            raise UserError(
                f"{where} does not block public access ({', '.join(open_)}): "
                f"`aws s3api put-public-access-block --bucket {self.bucket} "
                f"--public-access-block-configuration {options}`."
            )

    def objects(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The objects under a prefix as S3 lists them, by key."""
        with explained(f"the bucket {self.bucket}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            return {entry["Key"]: entry for page in pages for entry in page.get("Contents", [])}

    def is_same(self, key: str, path: Path, entry: Mapping[str, Any] | None) -> bool:
        """Whether an object has the content of a file. `entry` is the object as it was listed."""
        if entry is None or entry["Size"] != path.stat().st_size:
            return False
        return holds(entry, path) or holds(self.head(key) or entry, path)

    def head(self, key: str, version: str | None = None) -> Mapping[str, Any] | None:
        """The metadata of an object, or of one version of it; None if that does not exist."""
        one = {"VersionId": version} if version else {}
        gone = {"404": "…", "NoSuchKey": "…", "NoSuchVersion": "…", "400": "…"}
        try:
            with explained(f"s3://{self.bucket}/{key}", **gone):
                found: Mapping[str, Any] = self.s3.head_object(Bucket=self.bucket, Key=key, **one)
        except AwsError as refusal:
            if refusal.code not in gone:
                raise
            return None
        return found

    def wrote(self, key: str) -> bool:
        """Whether the object exists and was written by a deploy."""
        found = self.head(key)
        return found is not None and SHA256 in found["Metadata"]

    def put(self, key: str, path: Path) -> str:
        """Upload a file; returns the version of the object."""
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
        """Delete an object; its earlier versions stay."""
        with explained(f"s3://{self.bucket}/{key}"):
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def update(self, arguments: Mapping[str, str]) -> None:
        """Start an update of the environment, which lets running tasks finish."""
        with explained(f"the environment {self.name}"):
            self.mwaa.update_environment(
                Name=self.name, WorkerReplacementStrategy="GRACEFUL", **arguments
            )


def explained(what: str, **remedies: str) -> AbstractContextManager[None]:
    """Raise AwsError for what AWS refuses, with the remedies of a deploy by AWS's codes."""
    return aws_errors(what, denied=RIGHTS, **remedies)


def holds(found: Mapping[str, Any], path: Path) -> bool:
    """Whether an object has the content of a file, by its ETag or its hash in the metadata."""
    content = path.read_bytes()
    if found["ETag"].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest():
        return True
    return bool(found.get("Metadata", {}).get(SHA256) == hashlib.sha256(content).hexdigest())
