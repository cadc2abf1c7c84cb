"""The IAM policies of files and templates name every action and have no needless wildcard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from include.settings import ROOT
from tests.aws import templates

FOLDER = ROOT / "include" / "aws" / "policies"
POLICIES = sorted(FOLDER.glob("*.json"))

PLACEHOLDERS = {
    "AccountId",
    "AdminUser",
    "AlertTopicArn",
    "Cluster",
    "DocsBucket",
    "DocsPrefix",
    "GlueDatabase",
    "LakeBucket",
    "LakePrefix",
    "Region",
}
"""The documented placeholders. IAM would read another one as a policy variable."""

OPERATIONS = {
    "s3:ListBucket": "s3:ListObjectsV2",
    "s3:GetLifecycleConfiguration": "s3:GetBucketLifecycleConfiguration",
    "s3:ListBucketVersions": "s3:ListObjectVersions",
    "s3:GetObjectVersion": "s3:GetObject",
    "s3:GetBucketPublicAccessBlock": "s3:GetPublicAccessBlock",
    "s3:GetAccountPublicAccessBlock": "s3control:GetPublicAccessBlock",
    # This is a permission to give a role to a service; there is no operation of this name.
    "iam:PassRole": "iam:GetRole",
}
"""Actions whose name differs from the operation that they allow."""

SERVICES = {"airflow": "mwaa", "states": "stepfunctions"}
"""Prefixes of actions that have another name in botocore."""

ANY_RESOURCE: dict[str, str] = {
    "cloudwatch:PutMetricData": "metrics are not resources",
    "ecr:GetAuthorizationToken": "a token is for the whole registry",
    "ecs:ListTasks": "limited to the cluster by a condition",
    "logs:DescribeLogGroups": "MWAA's guide requires it, and it only lists",
    "s3:GetAccountPublicAccessBlock": "it belongs to the account",
}
"""Actions that may have the resource *, with the reason why no narrower one is possible."""

FILES = {path.stem: json.loads(path.read_text()) for path in POLICIES}
IN_TEMPLATES = {
    name: document for path in templates.TEMPLATES for name, document in templates.policies(path)
}
TRUSTS = {
    name: document for path in templates.TEMPLATES for name, document in templates.trusts(path)
}
ALL = FILES | IN_TEMPLATES


def statements(name: str) -> list[dict[str, Any]]:
    """The statements of a policy."""
    found: list[dict[str, Any]] = (ALL | TRUSTS)[name]["Statement"]
    return found


def texts(value: str | list[str]) -> list[str]:
    """The value as a list. IAM allows one text or a list of texts."""
    return [value] if isinstance(value, str) else value


def allowed(policies: Iterable[str] = ALL) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every action, with its statement and the name of its policy."""
    for name in policies:
        for statement in statements(name):
            for action in texts(statement["Action"]):
                yield name, statement, action


@cache
def operations(service: str) -> frozenset[str]:
    """The operations of a service in the installed botocore."""
    return frozenset(botocore.session.get_session().get_service_model(service).operation_names)


def test_the_list_of_policies_is_complete() -> None:
    assert sorted(FILES) == [
        "airflow_role",
        "compaction_role",
        "spectrum_role",
        "spectrum_role_smoke",
        "spectrum_role_trust",
    ]
    assert sorted(IN_TEMPLATES) == [
        "build-ExecutionRole-start",
        "build-MachineRole-build",
        "build-SchedulerRole-start",
        "build-TaskRole-build",
        "mwaa-ExecutionRole-game-analytics",
        "mwaa-ExecutionRole-mwaa",
        "mwaa-RunPolicy",
        "storage-SpectrumRole-lake",
    ]


@pytest.mark.parametrize(("name", "policy"), (ALL | TRUSTS).items(), ids=list(ALL | TRUSTS))
def test_a_policy_is_valid_and_short_enough(name: str, policy: dict[str, Any]) -> None:
    assert set(policy) == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    known = {"Sid", "Effect", "Principal", "Action", "Resource", "NotResource", "Condition"}
    assert all(set(statement) <= known for statement in policy["Statement"])
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
    # The limits without white space are 2,048 characters for a trust policy and 10,240 for all
    # inline policies of a role.
    length = len(json.dumps(policy, separators=(",", ":")))
    assert length < (2048 if name in TRUSTS or name.endswith("_trust") else 5000)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_placeholders_are_known(path: Path) -> None:
    assert set(re.findall(r"\$\{(.*?)\}", path.read_text())) <= PLACEHOLDERS


@pytest.mark.parametrize(
    ("role", "file", "own"),
    [
        ("storage-SpectrumRole-lake", "spectrum_role", {"DecryptTheLake"}),
        ("storage-SpectrumRole", "spectrum_role_trust", set()),
        (
            "mwaa-ExecutionRole-game-analytics",
            "airflow_role",
            {"DecryptTheLake", "EncryptLedgerRows"},
        ),
    ],
)
def test_a_role_of_a_template_has_the_statements_of_the_file(
    role: str, file: str, own: set[str]
) -> None:
    of_template = {one["Sid"]: one for one in statements(role) if one["Sid"] not in own}
    assert of_template == {one["Sid"]: one for one in statements(file)}


def test_statements_with_one_sid_are_equal_in_every_role() -> None:
    shared = {
        "ListTheLake": 5,
        "ReadTheLifecycle": 3,
        "ReadTheLake": 5,
        "DecryptTheLake": 3,
        "WriteLedgerRows": 3,
        "EncryptLedgerRows": 2,
        "ReadTheConnection": 3,
        "SendAlerts": 3,
        "ListWhatIsPublished": 3,
        "Publish": 3,
        "DeleteOldRuns": 3,
        "FollowAndStopIt": 2,
    }
    found: dict[str, list[dict[str, Any]]] = {sid: [] for sid in shared}
    for name in ALL:
        for one in statements(name):
            if one["Sid"] in shared and name != "compaction_role":
                found[one["Sid"]].append(one)
    assert {sid: len(alike) for sid, alike in found.items()} == shared
    assert [sid for sid, alike in found.items() if any(one != alike[0] for one in alike)] == []


def test_every_action_exists() -> None:
    unknown = set()
    for _, _, action in allowed():
        service, operation = OPERATIONS.get(action, action).split(":")
        if operation not in operations(SERVICES.get(service, service)):
            unknown.add(action)
    assert unknown == set()


def test_no_resource_is_wider_than_it_must_be() -> None:
    wide = {
        action
        for name, statement, action in allowed()
        if not name.endswith("_trust") and "*" in texts(statement.get("Resource", []))
    }
    assert wide == set(ANY_RESOURCE)
    without = {action for _, statement, action in allowed() if "NotResource" in statement}
    # The key is in an account of MWAA and is used only through SQS.
    assert {action.split(":")[0] for action in without} == {"kms"}


def test_a_wildcard_comes_only_after_a_name() -> None:
    resources = {
        resource
        for _, statement, _ in allowed()
        for resource in texts(statement.get("Resource", []))
        if resource != "*"
    }
    here = r"\$\{Region\}:\$\{AccountId\}"
    narrow = re.compile(
        r"arn:aws:(s3:::\$\{LakeBucket\}(/\$\{LakePrefix\}/(ledger_rows/)?\*)?"
        r"|s3:::\$\{DocsBucket\}(/\$\{DocsPrefix\}/(runs/)?\*)?"
        r"|s3:::\$\{CodeBucket\}(/\*)?"
        rf"|glue:{here}:"
        r"(catalog|(database|table|userDefinedFunction)/(\$\{GlueDatabase\}|\*conformance_\*)(/\*)?)"
        rf"|secretsmanager:{here}:secret:airflow/connections/redshift_default-\?{{6}}"
        rf"|logs:{here}:log-group:(\$\{{LogGroup\}}:\*|airflow-\$\{{Name\}}-\*)"
        rf"|ecs:{here}:(task-definition/\$\{{Name\}}-dbt:\*|task/\$\{{Name\}}/\*)"
        rf"|states:{here}:execution:\$\{{Name\}}-build:\*"
        rf"|events:{here}:rule/StepFunctionsGetEventsForECSTaskRule"
        rf"|airflow:{here}:environment/\$\{{Name\}}"
        r"|sqs:\$\{Region\}:\*:airflow-celery-\*)"
        r"|\$\{[A-Za-z.]+\}"
    )
    assert {resource for resource in resources if not narrow.fullmatch(resource)} == set()


def test_roles_are_passed_only_to_ecs() -> None:
    found = [one for _, one, action in allowed() if action == "iam:PassRole"]
    assert len(found) == 2
    for statement in found:
        assert len(texts(statement["Resource"])) == 2
        assert statement["Condition"] == {
            "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
        }


def test_tasks_run_only_in_the_cluster() -> None:
    found = [one for _, one, action in allowed() if action in {"ecs:RunTask", "ecs:ListTasks"}]
    assert len(found) == 3
    assert all("ecs:cluster" in one["Condition"]["ArnEquals"] for one in found)


def test_the_machine_reads_only_the_artifacts_of_runs() -> None:
    (statement,) = [
        one for _, one, action in allowed(["build-MachineRole-build"]) if action == "s3:GetObject"
    ]
    assert statement["Resource"] == "arn:aws:s3:::${DocsBucket}/${DocsPrefix}/runs/*"


def test_a_service_can_use_a_role_only_for_this_account() -> None:
    services = {
        "build-ExecutionRole": ["ecs-tasks.amazonaws.com"],
        "build-TaskRole": ["ecs-tasks.amazonaws.com"],
        "build-MachineRole": ["states.amazonaws.com"],
        "build-SchedulerRole": ["scheduler.amazonaws.com"],
        "mwaa-ExecutionRole": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"],
    }
    for name, trusted in services.items():
        (statement,) = statements(name)
        assert texts(statement["Principal"]["Service"]) == trusted
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AccountId}"}}
    # The trust policy of the Spectrum role is compared with its file in another test.
    assert set(TRUSTS) == {*services, "storage-SpectrumRole"}


def test_listing_is_limited_to_a_prefix() -> None:
    for _, statement, action in allowed():
        bucket = texts(statement.get("Resource", ""))[0].rpartition("${")[2].partition("Bucket")[0]
        # MWAA reads the whole code bucket.
        if action == "s3:ListBucket" and bucket != "Code":
            prefix = f"${{{bucket}Prefix}}"
            assert statement["Condition"] == {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}


def test_a_catalog_action_names_the_catalog() -> None:
    # Glue checks the rights on the catalog, the database and the table together.
    for name, statement, action in allowed():
        if action.startswith("glue:"):
            kinds = {resource.split(":")[-1].split("/")[0] for resource in statement["Resource"]}
            assert {"catalog", "database", "table"} <= kinds, (name, action)


def test_airflow_writes_only_ledger_rows_and_published_pages() -> None:
    actions: dict[str, set[str]] = {}
    for _, one, action in allowed(["airflow_role"]):
        actions.setdefault(action, set()).update(texts(one["Resource"]))
    assert set(actions) == {
        "s3:ListBucket",
        "s3:GetLifecycleConfiguration",
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "secretsmanager:GetSecretValue",
        "sns:Publish",
    }
    rows, docs = (
        "arn:aws:s3:::${LakeBucket}/${LakePrefix}/ledger_rows/*",
        "arn:aws:s3:::${DocsBucket}/${DocsPrefix}",
    )
    assert actions["s3:PutObject"] == {rows, f"{docs}/*"}
    assert actions["s3:DeleteObject"] == {rows, f"{docs}/runs/*"}


def test_every_role_that_publishes_deletes_old_runs_and_no_more_of_docs() -> None:
    publishing = {name for name, one, _ in allowed() if one.get("Sid") == "Publish"}
    assert publishing == {
        "airflow_role",
        "build-TaskRole-build",
        "mwaa-ExecutionRole-game-analytics",
    }
    for name in publishing:
        deletes = [
            resource
            for _, one, action in allowed([name])
            if action == "s3:DeleteObject"
            for resource in texts(one["Resource"])
            if "DocsBucket" in resource
        ]
        assert deletes == ["arn:aws:s3:::${DocsBucket}/${DocsPrefix}/runs/*"]


def test_every_role_that_reads_the_lake_may_decrypt_it() -> None:
    readers = {
        name
        for name, one, _ in allowed(IN_TEMPLATES)
        if one["Sid"] in {"ReadTheLake", "ListTheLake"}
    }
    decrypting = {
        name: one for name, one, action in allowed(IN_TEMPLATES) if one["Sid"] == "DecryptTheLake"
    }
    assert set(decrypting) == readers
    for statement in decrypting.values():
        assert statement["Action"] == "kms:Decrypt"
        assert statement["Resource"] == "${LakeKeyArn}"
        condition = {"StringEquals": {"kms:ViaService": "s3.${Region}.amazonaws.com"}}
        assert statement["Condition"] == condition


def test_only_two_redshift_users_can_use_the_spectrum_role() -> None:
    (statement,) = statements("spectrum_role_trust")
    assert statement["Action"] == "sts:AssumeRole"
    assert all("redshift" in service for service in texts(statement["Principal"]["Service"]))
    users = texts(statement["Condition"]["StringEquals"]["sts:ExternalId"])
    assert [user.rsplit("/", 1)[1] for user in users] == ["${AdminUser}", "dbt"]


def test_every_role_that_writes_ledger_rows_may_encrypt_them() -> None:
    found = {
        sid: {name for name, one, _ in allowed(IN_TEMPLATES) if one["Sid"] == sid}
        for sid in ("WriteLedgerRows", "EncryptLedgerRows")
    }
    assert found["WriteLedgerRows"] == found["EncryptLedgerRows"]
    assert found["WriteLedgerRows"] == {
        "build-TaskRole-build",
        "mwaa-ExecutionRole-game-analytics",
    }
