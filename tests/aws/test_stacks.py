"""The stacks are created in the emulator with the documented commands, updated, and deleted.

The emulator has no NAT gateway and no MWAA, so `network.yaml` and `mwaa.yaml` are only linted and
their policies checked (`test_templates.py`, `test_policies.py`). It also ignores the lifecycle
rules of buckets, which `test_templates.py` checks.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("yamllint", reason="runs in Airflow's environment, once")

from botocore.exceptions import ClientError

from tests.support import stacks
from tests.support.ministack import MiniStack

GIVEN = {
    "Cluster": "analytics",
    "AdminUser": "awsuser",
    "AlertEmail": "on-call@example.com",
    "ImageUri": stacks.BUILD["ImageUri"],
    "Subnets": stacks.SUBNETS,
    "SecurityGroups": stacks.SECURITY_GROUPS,
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack.start(
        tmp_path_factory.mktemp("ministack"),
        SFN_WAIT_SCALE="0.001",
        ECS_SCRIPTS=str(tmp_path_factory.mktemp("scripts")),
    ) as running:
        yield running


@pytest.fixture
def account(emulator: MiniStack) -> MiniStack:
    """An empty account."""
    stacks.reset(emulator)
    return emulator


def test_the_commands_of_the_first_run_create_the_stacks(
    account: MiniStack, tmp_path: Path
) -> None:
    commands = stacks.readme_commands()
    assert list(commands) == [
        *("Storage", "Role", "Database", "Secret", "Image", "Network", "Build", "Check", "MWAA")
    ]
    given = commands["Storage"].splitlines()
    assert given[0].startswith("export AWS_DEFAULT_REGION=")
    (tmp_path / "connection.json").write_text(json.dumps(stacks.CONNECTION))
    # The emulator has no images and networks, so the test gives what these steps would export.
    chosen = "\n".join([*given[1:], commands["Secret"], commands["Build"]])
    ran = stacks.run_commands(account, chosen, tmp_path, **GIVEN)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    storage, build = stacks.outputs(account, "storage"), stacks.outputs(account, "build")
    assert storage["AlertTopicArn"].endswith(":game-analytics")
    value = account.client("secretsmanager").get_secret_value(SecretId=storage["ConnectionArn"])
    assert json.loads(value["SecretString"]) == stacks.CONNECTION
    listed = account.client("stepfunctions").list_executions(
        stateMachineArn=build["StateMachineArn"]
    )["executions"]
    assert [one["name"][:8] for one in listed] == ["by-hand-"]
    made = account.client("ecs").describe_task_definition(taskDefinition="game-analytics-dbt")
    (container,) = made["taskDefinition"]["containerDefinitions"]
    assert container["image"] == GIVEN["ImageUri"]
    assert container["readonlyRootFilesystem"] is True
    assert {one["name"]: one["valueFrom"] for one in container["secrets"]}[
        "REDSHIFT_PASSWORD"
    ] == f"{storage['ConnectionArn']}:password::"
    assert made["taskDefinition"]["volumes"] == [{"name": "tmp"}]


def test_storage_creates_closed_buckets_and_an_empty_secret(account: MiniStack) -> None:
    made = stacks.deploy(account, "storage", {"Cluster": "analytics"})
    s3 = account.client("s3")
    for name in ("LakeBucket", "DocsBucket", "CodeBucket"):
        bucket = made[name]
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert s3.get_bucket_encryption(Bucket=bucket)
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
        assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    database = account.client("glue").get_database(Name="game_analytics")
    assert database["Database"]["Name"] == "game_analytics"
    with pytest.raises(ClientError, match="AWSCURRENT"):
        account.client("secretsmanager").get_secret_value(SecretId=made["ConnectionArn"])
    (group,) = account.client("logs").describe_log_groups(logGroupNamePrefix="/ecs/")["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == ("/ecs/game-analytics", 30)


def test_an_existing_lake_bucket_is_used_and_not_changed(account: MiniStack) -> None:
    account.client("s3").create_bucket(Bucket="studio-lake")
    given = {"Cluster": "analytics", "ExistingLakeBucket": "studio-lake", "SchemaPrefix": "dev_"}
    made = stacks.deploy(account, "storage", given)
    assert made["LakeBucket"] == "studio-lake"
    assert made["GlueDatabase"] == "game_analytics"
    assert account.client("glue").get_database(Name="dev_game_analytics")
    role = made["SpectrumRoleArn"].rsplit("/", 1)[1]
    policy = account.client("iam").get_role_policy(RoleName=role, PolicyName="lake")
    text = json.dumps(policy["PolicyDocument"])
    assert "arn:aws:s3:::studio-lake/lake/*" in text
    assert "database/dev_game_analytics" in text
    assert "kms:" not in text
    buckets = {one["Name"] for one in account.client("s3").list_buckets()["Buckets"]}
    assert not [name for name in buckets if name.startswith("game-analytics-lake")]


def test_the_roles_that_read_an_encrypted_lake_may_decrypt_it(account: MiniStack) -> None:
    key = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    account.client("s3").create_bucket(Bucket="studio-lake")
    given = {"Cluster": "analytics", "ExistingLakeBucket": "studio-lake", "LakeKeyArn": key}
    stacks.deploy(account, "storage", given)
    stacks.deploy(account, "build", stacks.BUILD | {"LakeKeyArn": key})
    iam = account.client("iam")
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    decrypting = {
        role: statement
        for role in roles
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"][
            "Statement"
        ]
        if "kms:Decrypt" in statement["Action"]
    }
    assert {role.split("-")[3] for role in decrypting} == {"SpectrumRole", "TaskRole"}
    assert {statement["Resource"] for statement in decrypting.values()} == {key}


def test_an_update_changes_the_task_definition_and_the_machine(account: MiniStack) -> None:
    stacks.deploy(account, "storage", {"Cluster": "analytics"})
    first = stacks.deploy(account, "build", stacks.BUILD)
    changed = stacks.BUILD | {"TaskMemory": "8192", "ImageUri": f"other@sha256:{'1' * 64}"}
    second = stacks.deploy(account, "build", changed, update=True)
    assert second["StateMachineArn"] == first["StateMachineArn"]
    made = account.client("ecs").describe_task_definition(taskDefinition="game-analytics-dbt")
    task = made["taskDefinition"]
    assert (task["revision"], task["memory"]) == (2, "8192")
    assert task["containerDefinitions"][0]["image"] == changed["ImageUri"]
    assert task["volumes"] == [{"name": "tmp"}]
    machine = account.client("stepfunctions").describe_state_machine(
        stateMachineArn=second["StateMachineArn"]
    )
    assert task["taskDefinitionArn"] in machine["definition"]


def test_the_schedule_starts_one_execution_per_invocation(account: MiniStack) -> None:
    stacks.deploy(account, "storage", {"Cluster": "analytics"})
    made = stacks.deploy(account, "build", stacks.BUILD)
    scheduler, machines = account.client("scheduler"), account.client("stepfunctions")
    assert scheduler.list_schedules()["Schedules"] == []
    daily = stacks.BUILD | {"Schedule": "cron(30 4 * * ? *)"}
    stacks.deploy(account, "build", daily, update=True)
    schedule = scheduler.get_schedule(GroupName="game-analytics", Name="game-analytics-build")
    assert schedule["ScheduleExpression"] == "cron(30 4 * * ? *)"
    assert schedule["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:sfn:startExecution"
    # The emulator does not call universal targets, so the test makes the Scheduler's call, twice.
    text = schedule["Target"]["Input"].replace("<aws.scheduler.execution-id>", "d32c5kddcf5bb8c3")
    request = {key[:1].lower() + key[1:]: value for key, value in json.loads(text).items()}
    assert request["stateMachineArn"] == made["StateMachineArn"]
    for _ in range(2):
        # The second call fails because an execution has this name already.
        with contextlib.suppress(machines.exceptions.ExecutionAlreadyExists):
            machines.start_execution(**request)
    listed = machines.list_executions(stateMachineArn=made["StateMachineArn"])["executions"]
    assert [one["name"] for one in listed] == ["d32c5kddcf5bb8c3"]
    stacks.deploy(account, "build", stacks.BUILD, update=True)
    assert scheduler.list_schedules()["Schedules"] == []


def test_deleted_stacks_leave_the_data(account: MiniStack) -> None:
    made = stacks.deploy(account, "storage", {"Cluster": "analytics"})
    stacks.deploy(account, "build", stacks.BUILD)
    stacks.put_connection(account)
    stacks.delete(account, "build")
    assert account.client("stepfunctions").list_state_machines()["stateMachines"] == []
    stacks.delete(account, "storage")
    left = {one["Name"] for one in account.client("s3").list_buckets()["Buckets"]}
    assert {made["LakeBucket"], made["DocsBucket"], made["CodeBucket"]} <= left
    assert account.client("secretsmanager").get_secret_value(SecretId=made["ConnectionArn"])
    repositories = account.client("ecr").describe_repositories()["repositories"]
    assert [one["repositoryName"] for one in repositories] == ["game-analytics-dbt"]
    assert account.client("sns").list_topics()["Topics"] == []


def test_storage_cannot_be_deleted_while_build_uses_it(account: MiniStack) -> None:
    stacks.deploy(account, "storage", {"Cluster": "analytics"})
    stacks.deploy(account, "build", stacks.BUILD)
    with pytest.raises(ClientError, match="is imported by stack game-analytics-build"):
        account.client("cloudformation").delete_stack(StackName="game-analytics-storage")
