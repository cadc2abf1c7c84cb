"""`python -m include.deployment.account` lists what an AWS account lacks for the settings.

Only what the settings need is checked. ECS, for example, is checked only with EXECUTION=fargate or
ecs, or with a state machine. Everything that is missing is listed with its remedy. The command
needs the right to read the account, but not the rights of the package's roles. It prints no secret
value.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from include.command import command
from include.object_store import AwsError, aws_client, aws_errors, bucket_and_prefix
from include.settings import PREFIX, Settings, UserError

STORAGE = "deploy include/aws/storage.yaml"
BUILD = "deploy include/aws/build.yaml"
KEYS = ("host", "port", "username", "password", "dbname")
"""The keys of the secret that dbt and the container read."""
ALSO_MISSING = {
    "ClientException",
    "InvalidGroupId.Malformed",
    "InvalidSubnetID.Malformed",
    "ValidationException",
}
"""Codes of services that have no code of their own for a name or id that does not exist."""
ECR_IMAGE = re.compile(
    r"(\d{12})\.dkr\.ecr\.[a-z0-9-]+\.[a-z.]+/([^:@]+)(?:@(sha256:[0-9a-f]{64})|:([\w.-]+))?"
)


@dataclass
class Account:
    """An AWS account, and the settings that it is checked for."""

    settings: Settings
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A client; credentials and region come from botocore's own chain."""
        if service not in self.clients:
            # A service that this network does not reach is reported within 30 seconds.
            self.clients[service] = aws_client(
                service,
                connect_timeout=5,
                read_timeout=15,
                retries={"mode": "standard", "total_max_attempts": 3},
            )
        return self.clients[service]


@contextmanager
def looking(what: str, remedy: str) -> Iterator[None]:
    """Raise UserError with the remedy if AWS does not have a thing, else with the general one."""
    try:
        with aws_errors(what, "read", denied="let this role read it, or use another role"):
            yield
    except AwsError as error:
        if error.kind == "missing" or error.code in ALSO_MISSING:
            raise UserError(f"{what} is not there: {remedy}.") from None
        raise


Check = Callable[[Account], str]
"""Checks one thing: returns its name, or raises UserError with the remedy."""


def caller(account: Account) -> str:
    """The account, the Region, and the user or role that runs the check."""
    with looking("the account", ""):
        client = account.client("sts")
        found = client.get_caller_identity()
    return f"account {found['Account']} in {client.meta.region_name} as {found['Arn']}"


def prefix(name: str, uri: str, when_empty: str) -> Check:
    """A check that a bucket is in this Region.

    `when_empty` is the remedy if the prefix has no objects. If it is empty, they are not checked.
    """

    def check(account: Account) -> str:
        bucket, path = bucket_and_prefix(uri)
        remedy = f"{STORAGE}, and set {PREFIX}{name} to its bucket"
        client = account.client("s3")
        with looking(f"bucket {bucket} of {PREFIX}{name}", remedy):
            region = client.head_bucket(Bucket=bucket).get("BucketRegion")
            found = client.list_objects_v2(Bucket=bucket, Prefix=path, MaxKeys=1)
        if region and region != client.meta.region_name:
            raise UserError(
                f"bucket {bucket} of {PREFIX}{name} is in {region}, not in "
                f"{client.meta.region_name}: Spectrum reads only its own Region, so use a bucket "
                f"in {client.meta.region_name}."
            )
        if when_empty and not found.get("Contents"):
            raise UserError(f"{uri} has no objects: {when_empty}.")
        return uri

    return check


def glue_database(account: Account) -> str:
    """The Glue database exists. Its name begins with the schema prefix, as in a build."""
    name = f"{account.settings.schema_prefix}{account.settings.glue_database}"
    with looking(f"Glue database {name}", f"{STORAGE} with its GlueDatabase and SchemaPrefix"):
        account.client("glue").get_database(Name=name)
    return f"Glue database {name}"


def role(arn: str, remedy: str) -> Check:
    """A check that an IAM role exists."""

    def check(account: Account) -> str:
        with looking(f"role {arn}", remedy):
            account.client("iam").get_role(RoleName=arn.rsplit("/", 1)[-1])
        return f"role {arn}"

    return check


def secret(account: Account) -> str:
    """The secret has a value with the keys of AWS's rotation format. The value is not printed."""
    name = f"airflow/connections/{account.settings.connection_id}"
    put = f"`aws secretsmanager put-secret-value --secret-id {name}`"
    client = account.client("secretsmanager")
    with looking(f"secret {name}", STORAGE):
        client.describe_secret(SecretId=name)
    with looking(
        f"a value of secret {name}", f"put one with {put} (include/aws/first-run.md, step 4)"
    ):
        text = client.get_secret_value(SecretId=name).get("SecretString", "")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"the value of secret {name} is not a JSON object: replace it with {put}.")
    if missing := [key for key in KEYS if not value.get(key)]:
        raise UserError(f"secret {name} lacks {', '.join(missing)}: complete it with {put}.")
    return f"secret {name}"


def topic(account: Account) -> str:
    """The topic of the alerts exists and has a confirmed subscription."""
    arn = account.settings.alert_topic_arn
    with looking(
        f"topic {arn}", f"{STORAGE}, and set {PREFIX}ALERT_TOPIC_ARN to its AlertTopicArn"
    ):
        found = account.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    if found.get("SubscriptionsConfirmed", "0") == "0":
        raise UserError(
            f"topic {arn} has no confirmed subscription, so its alerts reach nobody: subscribe "
            "with `aws sns subscribe`, and confirm the subscription from the inbox."
        )
    return f"topic {arn}"


def cluster(account: Account) -> str:
    """The ECS cluster exists and is active."""
    name = account.settings.ecs_cluster
    with looking(f"ECS cluster {name}", BUILD):
        found = account.client("ecs").describe_clusters(clusters=[name])["clusters"]
    if not [one for one in found if one.get("status") == "ACTIVE"]:
        raise UserError(
            f"ECS cluster {name} is not there: {BUILD}, or set {PREFIX}ECS_CLUSTER to yours."
        )
    return f"ECS cluster {name}"


def task_definition(account: Account) -> Mapping[str, Any]:
    """The active task definition of the settings; raises UserError if it does not exist."""
    name = account.settings.ecs_task_definition
    with looking(f"task definition {name}", f"push the image, and {BUILD}"):
        found: Mapping[str, Any] = account.client("ecs").describe_task_definition(
            taskDefinition=name
        )["taskDefinition"]
    if found.get("status") == "INACTIVE":
        raise UserError(f"task definition {name} is not there: push the image, and {BUILD}.")
    return found


def container(account: Account) -> dict[str, Any]:
    """The container `dbt` of the task definition; raises UserError if it has none."""
    name = account.settings.ecs_task_definition
    for one in task_definition(account)["containerDefinitions"]:
        if one["name"] == "dbt":
            found: dict[str, Any] = one
            return found
    raise UserError(f"task definition {name} has no container named dbt: {BUILD}.")


def image(account: Account) -> str:
    """The image of the task definition is in its repository. Only ECR is checked."""
    uri = container(account)["image"]
    found = ECR_IMAGE.fullmatch(uri)
    if not found:
        return f"image {uri} (not checked, because it is not in ECR)"
    registry, repository, digest, tag = found.groups()
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    remedy = f"push it, and {BUILD} with its digest as ImageUri"
    with looking(f"image {uri}", remedy):
        described = account.client("ecr").describe_images(
            registryId=registry, repositoryName=repository, imageIds=[wanted]
        )
    if not described["imageDetails"]:
        raise UserError(f"image {uri} is not there: {remedy}.")
    return f"image {uri}"


def task_roles(account: Account) -> str:
    """The execution role and the task role of the task definition exist."""
    found = task_definition(account)
    for key in ("executionRoleArn", "taskRoleArn"):
        if not found.get(key):
            raise UserError(f"task definition {found['family']} has no {key}: {BUILD}.")
        role(found[key], BUILD)(account)
    return "execution role and task role"


def task_secrets(account: Account) -> str:
    """The container gets each part of the login from a key of an existing secret."""
    client = account.client("secretsmanager")
    given = {one["name"]: one["valueFrom"] for one in container(account).get("secrets", [])}
    wanted = [f"REDSHIFT_{name}" for name in ("HOST", "PORT", "USERNAME", "PASSWORD", "DBNAME")]
    if missing := [name for name in wanted if name not in given]:
        raise UserError(f"the container gets no {', '.join(missing)} from a secret: {BUILD}.")
    for name, source in given.items():
        # `<ARN or name of the secret>:<key>:<stage>:<version>`
        parts = source.split(":")
        length = 7 if source.startswith("arn:") else 1
        where, key = ":".join(parts[:length]), parts[length : length + 1]
        with looking(f"secret {where} of the container's {name}", f"{STORAGE}, and {BUILD}"):
            client.describe_secret(SecretId=where)
        if not any(key):
            raise UserError(f"the container's {name} is the whole secret, not a key: {BUILD}.")
    return "secrets of the container"


def log_group(account: Account) -> str:
    """The log group exists, and the container writes to it."""
    name = account.settings.ecs_log_group
    with looking(f"log group {name}", STORAGE):
        groups = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if name not in {group["logGroupName"] for group in groups}:
        raise UserError(f"log group {name} is not there: {STORAGE}.")
    options = container(account).get("logConfiguration", {}).get("options", {})
    if (writes := options.get("awslogs-group")) != name:
        raise UserError(
            f"the container logs to {writes}, not to {name}: set {PREFIX}ECS_LOG_GROUP to it."
        )
    return f"log group {name}"


def subnets(account: Account) -> str:
    """Every subnet exists."""
    for name in account.settings.ecs_subnets.split(","):
        remedy = f"set {PREFIX}ECS_SUBNETS to subnets of this account (include/aws/network.yaml)"
        with looking(f"subnet {name}", remedy):
            found = account.client("ec2").describe_subnets(SubnetIds=[name])["Subnets"]
        if not found:
            raise UserError(f"subnet {name} is not there: {remedy}.")
    return f"subnets {account.settings.ecs_subnets}"


def security_groups(account: Account) -> str:
    """Every security group exists."""
    for name in account.settings.ecs_security_groups.split(","):
        remedy = f"set {PREFIX}ECS_SECURITY_GROUPS to groups of this account"
        with looking(f"security group {name}", remedy):
            found = account.client("ec2").describe_security_groups(GroupIds=[name])
        if not found["SecurityGroups"]:
            raise UserError(f"security group {name} is not there: {remedy}.")
    return f"security groups {account.settings.ecs_security_groups}"


def state_machine(account: Account) -> str:
    """The state machine that the DAG starts exists."""
    arn = account.settings.state_machine_arn
    remedy = f"{BUILD}, and set {PREFIX}STATE_MACHINE_ARN to its StateMachineArn"
    with looking(f"state machine {arn}", remedy):
        account.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    return f"state machine {arn}"


def checks(settings: Settings) -> Iterator[Check]:
    """The checks that the settings need, in the order in which the things are created."""
    if settings.is_s3:
        land = "land events, and `aws s3 sync` them there (README, Your own data)"
        yield prefix("LAKE", settings.lake, land)
    if settings.docs.startswith("s3://"):
        yield prefix("DOCS", settings.docs, "")
    if settings.target == "redshift":
        yield from _of_redshift(settings)
    if settings.alert_topic_arn:
        yield topic
    if settings.runs_on_ecs or settings.state_machine_arn:
        yield from (cluster, image, task_roles, task_secrets, log_group)
    if settings.runs_on_ecs:
        yield subnets
        yield from [security_groups] if settings.ecs_security_groups else []
    if settings.state_machine_arn:
        yield state_machine


def _of_redshift(settings: Settings) -> Iterator[Check]:
    yield glue_database
    for arn in settings.spectrum_role.split(","):
        # The ARN of the cluster's default role can only be read from Redshift.
        if arn != "default":
            yield role(arn, f"{STORAGE}, and set {PREFIX}SPECTRUM_ROLE to its SpectrumRoleArn")
    if settings.connection_id:
        yield secret


def findings(account: Account) -> Iterator[tuple[bool, str]]:
    """The result of each check: whether it passed, and the name or the message with the remedy."""
    reported: set[str] = set()
    for check in checks(account.settings):
        try:
            yield True, check(account)
        except UserError as error:
            # Several checks read the task definition, so its absence would be listed several times.
            if str(error) not in reported:
                reported.add(str(error))
                yield False, str(error)


@command
def main() -> int:
    """Print a line per check; the exit code is 1 if anything is missing."""
    settings = Settings.from_env(os.environ)
    account = Account(settings)
    if not list(checks(settings)):
        print(f"target {settings.target} needs nothing in AWS")
        return 0
    print(caller(account))
    missing = 0
    for good, line in findings(account):
        print(f"ok       {line}" if good else f"MISSING  {line}")
        missing += not good
    print(f"{missing} missing" if missing else "The account has what these settings need.")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
