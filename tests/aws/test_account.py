"""`make check-account` names each missing thing with its remedy, and checks nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

pytest.importorskip("duckdb", reason="runs in dbt's environment, as the command does")

from include.build.preflight import check_containers
from include.deployment.account import Account, findings
from include.settings import ROOT, Settings, UserError
from tests.support import stacks
from tests.support.ministack import MiniStack
from tests.support.stacks import CONNECTION_SECRET

Client = Callable[[str], Any]
NAME = "game-analytics"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack.start(tmp_path_factory.mktemp("ministack")) as running:
        yield running


@pytest.fixture
def complete(emulator: MiniStack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A complete account; returns the settings for EXECUTION=fargate and the state machine."""
    stacks.reset(emulator)
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    storage = stacks.deploy(emulator, "storage", {"Cluster": "analytics"})
    stacks.put_connection(emulator)
    pushed = emulator.client("ecr").put_image(
        repositoryName=f"{NAME}-dbt", imageManifest=json.dumps({"schemaVersion": 2}), imageTag="1"
    )
    digest = pushed["image"]["imageId"]["imageDigest"]
    ec2 = emulator.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="x", Description="x", VpcId=network)["GroupId"]
    given = {
        "ImageUri": f"{storage['RepositoryUri']}@{digest}",
        "Subnets": subnet,
        "SecurityGroups": group,
    }
    build = stacks.deploy(emulator, "build", given)
    emulator.client("sns").subscribe(
        TopicArn=storage["AlertTopicArn"],
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:us-east-1:000000000000:{NAME}",
    )
    lake = f"{storage['LakePrefix']}/raw_events/year=2026/month=09/day=01/a.parquet"
    emulator.client("s3").put_object(Bucket=storage["LakeBucket"], Key=lake, Body=b"x")
    return {
        "TARGET": "redshift",
        "LAKE": f"s3://{storage['LakeBucket']}/{storage['LakePrefix']}",
        "DOCS": f"s3://{storage['DocsBucket']}/{storage['DocsPrefix']}",
        "SPECTRUM_ROLE": storage["SpectrumRoleArn"],
        "ALERT_TOPIC_ARN": storage["AlertTopicArn"],
        "EXECUTION": "fargate",
        "ECS_SUBNETS": subnet,
        "ECS_SECURITY_GROUPS": group,
        "STATE_MACHINE_ARN": build["StateMachineArn"],
    }


def missing(settings: dict[str, str]) -> list[str]:
    """The messages about missing things."""
    read = Settings.from_env({f"GAME_ANALYTICS_{name}": value for name, value in settings.items()})
    return [line for good, line in findings(Account(read)) if not good]


def run(settings: dict[str, str], emulator: MiniStack) -> subprocess.CompletedProcess[str]:
    """Run the command itself."""
    given = {f"GAME_ANALYTICS_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "include.deployment.account"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **emulator.environment(), **given},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_complete_account_passes_every_check(
    emulator: MiniStack, complete: dict[str, str]
) -> None:
    ran = run(complete, emulator)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("account 000000000000 in us-east-1 as ")
    assert lines[-1] == "The account has what these settings need."
    assert len([line for line in lines if line.startswith("ok ")]) == 14
    assert str(stacks.CONNECTION["password"]) not in ran.stdout + ran.stderr


@dataclass(frozen=True)
class Removal:
    """One thing that is removed from the account, and the message about it."""

    name: str
    remove: Callable[[Client, dict[str, str]], object]
    message: str
    remedy: str
    others: int = 0
    """The number of further messages, about things that need the removed one."""


def empty(client: Client, given: dict[str, str]) -> None:
    """Delete all objects of the lake with their versions."""
    bucket = bucket_of(given["LAKE"])
    for one in client("s3").list_object_versions(Bucket=bucket).get("Versions", []):
        client("s3").delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])


def bucket_of(uri: str) -> str:
    return uri.split("/")[2]


def drop_bucket(client: Client, given: dict[str, str]) -> None:
    empty(client, given)
    client("s3").delete_bucket(Bucket=bucket_of(given["LAKE"]))


def drop_role(client: Client, arn: str) -> None:
    name = arn.rsplit("/", 1)[1]
    for policy in client("iam").list_role_policies(RoleName=name)["PolicyNames"]:
        client("iam").delete_role_policy(RoleName=name, PolicyName=policy)
    client("iam").delete_role(RoleName=name)


def drop_task_role(client: Client, _: dict[str, str]) -> None:
    found = client("ecs").describe_task_definition(taskDefinition=f"{NAME}-dbt")
    drop_role(client, found["taskDefinition"]["taskRoleArn"])


def register(client: Client, change: Callable[[dict[str, Any]], object]) -> None:
    """Register the next revision of the task definition, with its container changed."""
    found = client("ecs").describe_task_definition(taskDefinition=f"{NAME}-dbt")["taskDefinition"]
    (container,) = found["containerDefinitions"]
    change(container)
    client("ecs").register_task_definition(
        family=found["family"],
        containerDefinitions=[container],
        taskRoleArn=found["taskRoleArn"],
        executionRoleArn=found["executionRoleArn"],
    )


def without_keys(client: Client, _: dict[str, str]) -> None:
    value = {"host": "h", "port": 1, "username": "dbt", "password": ""}
    client("secretsmanager").put_secret_value(
        SecretId=CONNECTION_SECRET, SecretString=json.dumps(value)
    )


def unsubscribe(client: Client, _: dict[str, str]) -> None:
    for one in client("sns").list_subscriptions()["Subscriptions"]:
        client("sns").unsubscribe(SubscriptionArn=one["SubscriptionArn"])


def drop_image(client: Client, _: dict[str, str]) -> None:
    images = client("ecr").describe_images(repositoryName=f"{NAME}-dbt")["imageDetails"]
    client("ecr").batch_delete_image(
        repositoryName=f"{NAME}-dbt", imageIds=[{"imageDigest": images[0]["imageDigest"]}]
    )


def drop_definition(client: Client, _: dict[str, str]) -> None:
    client("ecs").deregister_task_definition(taskDefinition=f"{NAME}-dbt:1")


STORAGE = "deploy include/aws/storage.yaml"
BUILD = "deploy include/aws/build.yaml"
TABLE = [
    Removal("lake-bucket", drop_bucket, "bucket game-analytics-lake-.* of .*_LAKE is not", STORAGE),
    Removal(
        "lake-is-empty",
        empty,
        "s3://.*/lake has no objects",
        "land events, and `aws s3 sync`",
    ),
    Removal(
        "docs-bucket",
        lambda client, given: client("s3").delete_bucket(Bucket=bucket_of(given["DOCS"])),
        "bucket game-analytics-docs-.* of .*_DOCS is not there",
        STORAGE,
    ),
    Removal(
        "glue-database",
        lambda client, _: client("glue").delete_database(Name="game_analytics"),
        "Glue database game_analytics is not there",
        STORAGE,
    ),
    Removal(
        "spectrum-role",
        lambda client, given: drop_role(client, given["SPECTRUM_ROLE"]),
        "role arn:aws:iam::.*SpectrumRole.* is not there",
        STORAGE,
    ),
    Removal(
        "secret",
        lambda client, _: client("secretsmanager").delete_secret(
            SecretId=CONNECTION_SECRET, ForceDeleteWithoutRecovery=True
        ),
        f"^secret {CONNECTION_SECRET} is not there",
        STORAGE,
        others=1,
    ),
    Removal("secret-keys", without_keys, "lacks password, dbname", "put-secret-value"),
    Removal(
        "secret-json",
        lambda client, _: client("secretsmanager").put_secret_value(
            SecretId=CONNECTION_SECRET, SecretString="[not JSON"
        ),
        "is not a JSON object",
        "put-secret-value",
    ),
    Removal(
        "topic",
        lambda client, given: client("sns").delete_topic(TopicArn=given["ALERT_TOPIC_ARN"]),
        "topic arn:aws:sns:.* is not there",
        STORAGE,
    ),
    Removal("subscription", unsubscribe, "its alerts reach nobody", "aws sns subscribe"),
    Removal(
        "cluster",
        lambda client, _: client("ecs").delete_cluster(cluster=NAME),
        f"ECS cluster {NAME} is not there",
        BUILD,
    ),
    Removal("task-definition", drop_definition, f"task definition {NAME}-dbt is not there", BUILD),
    Removal(
        "container",
        lambda client, _: register(client, lambda one: one.update(name="other")),
        "has no container named dbt",
        BUILD,
    ),
    Removal("image", drop_image, "image .*game-analytics-dbt@sha256.* is not there", "push it"),
    Removal("task-role", drop_task_role, "role .*TaskRole.* is not there", BUILD),
    Removal(
        "secret-of-the-container",
        lambda client, _: register(client, lambda one: one["secrets"].pop()),
        "the container gets no REDSHIFT_DBNAME from a secret",
        BUILD,
    ),
    Removal(
        "key-of-the-container",
        lambda client, _: register(
            client, lambda one: one["secrets"][0].update(valueFrom=CONNECTION_SECRET)
        ),
        "the container's REDSHIFT_HOST is the whole secret, not a key",
        BUILD,
    ),
    Removal(
        "log-group",
        lambda client, _: client("logs").delete_log_group(logGroupName=f"/ecs/{NAME}"),
        f"log group /ecs/{NAME} is not there",
        STORAGE,
    ),
    Removal(
        "subnet",
        lambda client, given: client("ec2").delete_subnet(SubnetId=given["ECS_SUBNETS"]),
        "subnet subnet-.* is not there",
        "GAME_ANALYTICS_ECS_SUBNETS",
    ),
    Removal(
        "security-group",
        lambda client, given: client("ec2").delete_security_group(
            GroupId=given["ECS_SECURITY_GROUPS"]
        ),
        "security group sg-.* is not there",
        "GAME_ANALYTICS_ECS_SECURITY_GROUPS",
    ),
    Removal(
        "state-machine",
        lambda client, given: client("stepfunctions").delete_state_machine(
            stateMachineArn=given["STATE_MACHINE_ARN"]
        ),
        "state machine arn:aws:states:.* is not there",
        BUILD,
    ),
]


@pytest.mark.parametrize("removal", TABLE, ids=lambda removal: removal.name)
def test_one_missing_thing_is_named_with_its_remedy(
    emulator: MiniStack, complete: dict[str, str], removal: Removal
) -> None:
    removal.remove(emulator.client, complete)
    lines = missing(complete)
    assert len(lines) == 1 + removal.others, lines
    (line,) = [line for line in lines if re.search(removal.message, line)]
    assert removal.remedy in line
    assert all(line.endswith(".") for line in lines)


def test_a_secret_without_a_value_is_missing(emulator: MiniStack, complete: dict[str, str]) -> None:
    stacks.reset(emulator)
    stacks.deploy(emulator, "storage", {"Cluster": "analytics"})
    (line,) = [line for line in missing(complete) if CONNECTION_SECRET in line]
    assert line.startswith(
        f"a value of secret {CONNECTION_SECRET} is not there: put one with `aws secrets"
    )


def test_an_empty_account_lacks_everything(emulator: MiniStack, complete: dict[str, str]) -> None:
    stacks.reset(emulator)
    ran = run(complete, emulator)
    assert ran.returncode == 1
    listed = [line for line in ran.stdout.splitlines() if line.startswith("MISSING")]
    assert len(listed) == 12
    assert ran.stdout.splitlines()[-1] == "12 missing"


def test_only_what_the_settings_need_is_checked(
    emulator: MiniStack, complete: dict[str, str]
) -> None:
    stacks.delete(emulator, "build")
    assert len(missing(complete)) == 3
    for name in ("EXECUTION", "STATE_MACHINE_ARN"):
        del complete[name]
    assert missing(complete) == []
    assert missing(complete | {"EXECUTION": "local", "DOCS": "data/site"}) == []
    # With IAM authentication there is no connection, so no secret is needed.
    emulator.client("secretsmanager").delete_secret(
        SecretId=CONNECTION_SECRET, ForceDeleteWithoutRecovery=True
    )
    assert missing(complete | {"CONNECTION_ID": ""}) == []


def test_a_laptop_needs_nothing(emulator: MiniStack) -> None:
    ran = run({}, emulator)
    assert (ran.returncode, ran.stdout) == (0, "target local needs nothing in AWS\n")


def test_a_bucket_in_another_region_is_refused(
    emulator: MiniStack, complete: dict[str, str]
) -> None:
    emulator.client("s3").create_bucket(
        Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    (line,) = missing(complete | {"DOCS": "s3://far-away/site"})
    assert "is in eu-west-1, not in us-east-1" in line


def test_an_account_that_cannot_be_reached_is_a_user_error(complete: dict[str, str]) -> None:
    ran = run(complete, MiniStack("http://127.0.0.1:9"))
    assert ran.returncode == 1
    assert "the account cannot be reached" in ran.stderr
    assert "a network route to AWS" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_missing_right_to_read_is_named(
    complete: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    call = BaseClient._make_api_call

    def refuse(self: Any, operation: str, asked: Any) -> Any:
        if operation == "GetDatabase":
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)
        return call(self, operation, asked)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    (line,) = missing(complete)
    assert line.startswith("Glue database game_analytics cannot be read (")
    assert "AccessDenied" in line
    assert "let this role read it" in line


def test_preflight_checks_what_the_containers_need(
    complete: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_env(complete)
    assert settings.ecs_cluster in check_containers(settings)
    with pytest.raises(UserError, match="s3://no-such-bucket/site cannot be used"):
        check_containers(replace(settings, docs="s3://no-such-bucket/site"))

    class Ecs:
        """ECS refuses an unknown cluster here; the emulator does not."""

        def list_tasks(self, **_: Any) -> None:
            error = {"Code": "ClusterNotFoundException", "Message": "Cluster not found."}
            raise ClientError({"Error": error}, "ListTasks")

    make = boto3.client
    monkeypatch.setattr(
        boto3, "client", lambda name, **more: Ecs() if name == "ecs" else make(name, **more)
    )
    with pytest.raises(UserError, match=r"ECS_CLUSTER cannot be used .*Cluster not found.*build"):
        check_containers(settings)
