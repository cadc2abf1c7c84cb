"""The IAM policies allow what is needed by name, and nothing by a wildcard that is too wide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from include.settings import ROOT

FOLDER = ROOT / "include" / "aws" / "policies"
POLICIES = sorted(FOLDER.glob("*.json"))

PLACEHOLDERS = {
    "AccountId",
    "AdminUser",
    "AlertTopicArn",
    "Cluster",
    "GlueDatabase",
    "LakeBucket",
    "LakePrefix",
    "Region",
}
"""What the README tells to fill in; IAM would take any other for a variable of its own."""

OPERATIONS = {"s3:ListBucket": "ListObjectsV2"}
"""Actions that are not called as the operation that they allow."""

ANY_RESOURCE: dict[str, str] = {}
"""Actions that may stand with the resource *, by the reason why they know no narrower one."""


def statements(path: Path) -> list[dict[str, Any]]:
    """The statements of a policy."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["Statement"]
    return found


def texts(value: str | list[str]) -> list[str]:
    """IAM writes one text, or a list of them."""
    return [value] if isinstance(value, str) else value


def allowed() -> Iterator[tuple[Path, dict[str, Any], str]]:
    """Every action of every statement."""
    for path in POLICIES:
        for statement in statements(path):
            for action in texts(statement["Action"]):
                yield path, statement, action


@cache
def operations(service: str) -> frozenset[str]:
    """The operations of a service, as the installed botocore knows them."""
    return frozenset(botocore.session.get_session().get_service_model(service).operation_names)


def test_the_policies_are_these() -> None:
    assert [path.stem for path in POLICIES] == [
        "airflow_role",
        "compaction_role",
        "spectrum_role",
        "spectrum_role_smoke",
        "spectrum_role_trust",
    ]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_is_of_the_present_language(path: Path) -> None:
    policy = json.loads(path.read_text())
    assert set(policy) == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    known = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
    assert all(set(statement) <= known for statement in policy["Statement"])
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_placeholders_are_known(path: Path) -> None:
    assert set(re.findall(r"\$\{(.*?)\}", path.read_text())) <= PLACEHOLDERS


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_fits_into_a_role(path: Path) -> None:
    # Without white space: 2,048 characters for a trust policy, 10,240 for all inline policies.
    written = re.sub(r"\s", "", path.read_text())
    assert len(written) < (2048 if path.stem.endswith("_trust") else 5000)


def test_every_action_exists() -> None:
    unknown = {
        action
        for _, _, action in allowed()
        if OPERATIONS.get(action, action.split(":")[1]) not in operations(action.split(":")[0])
    }
    assert unknown == set()


def test_no_resource_is_wider_than_it_must_be() -> None:
    wide = {
        action
        for path, statement, action in allowed()
        if not path.stem.endswith("_trust") and "*" in texts(statement["Resource"])
    }
    assert wide == set(ANY_RESOURCE)


def test_a_wildcard_stands_only_behind_a_name() -> None:
    resources = {
        resource
        for path, statement, _ in allowed()
        for resource in texts(statement.get("Resource", []))
    }
    narrow = re.compile(
        r"arn:aws:(s3:::\$\{LakeBucket\}(/\$\{LakePrefix\}/\*)?"
        r"|glue:\$\{Region\}:\$\{AccountId\}:"
        r"(catalog|(database|table|userDefinedFunction)/(\$\{GlueDatabase\}|\*conformance_\*)(/\*)?)"
        r"|secretsmanager:\$\{Region\}:\$\{AccountId\}:"
        r"secret:airflow/connections/redshift_default-\?{6})"
        r"|\$\{AlertTopicArn\}"
    )
    assert {resource for resource in resources if not narrow.fullmatch(resource)} == set()


def test_listing_is_limited_to_the_lake() -> None:
    for _, statement, action in allowed():
        if action == "s3:ListBucket":
            assert statement["Condition"] == {
                "StringLike": {"s3:prefix": ["${LakePrefix}", "${LakePrefix}/*"]}
            }


def test_a_catalog_action_names_the_catalog() -> None:
    # Glue asks for the catalog, the database and the table at once.
    for path, statement, action in allowed():
        if action.startswith("glue:"):
            kinds = {resource.split(":")[-1].split("/")[0] for resource in statement["Resource"]}
            assert {"catalog", "database", "table"} <= kinds, (path.stem, action)


def test_airflow_only_reads() -> None:
    actions = {action for path, _, action in allowed() if path.stem == "airflow_role"}
    assert actions == {
        "s3:ListBucket",
        "s3:GetObject",
        "secretsmanager:GetSecretValue",
        "sns:Publish",
    }


def test_redshift_alone_takes_its_role() -> None:
    (statement,) = statements(FOLDER / "spectrum_role_trust.json")
    assert statement["Action"] == "sts:AssumeRole"
    assert all("redshift" in service for service in texts(statement["Principal"]["Service"]))
    users = texts(statement["Condition"]["StringEquals"]["sts:ExternalId"])
    assert [user.rsplit("/", 1)[1] for user in users] == ["${AdminUser}", "dbt"]
