"""A complete deployment: stacks, registry, containers, lake in S3, and the stand-in of Redshift."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.settings import ROOT
from tests.support import stacks
from tests.support.checkout import Checkout
from tests.support.engine import OUT_OF_MEMORY, Engine
from tests.support.ministack import MiniStack
from tests.support.secrets_backend import BACKEND, SECRETS
from tests.support.standin_process import ClusterProcess

CANARY = "Kanar1envogel-im-Container"
"""The password of the user `dbt`."""
SAMPLE = ("--days", "5", "--players", "20", "--seed", "5", "--end", "2026-09-10")
CERTIFICATES = "/certificates"
"""The folder of a container with the certificate of the stand-in. Amazon's is in the image."""


@dataclass(frozen=True)
class Deployment:
    """An account in which everything is deployed as the documentation describes it."""

    engine: Engine
    emulator: MiniStack
    cluster: ClusterProcess
    checkout: Checkout
    storage: dict[str, str]
    build: dict[str, str]
    image: str
    inbox: str
    """The URL of the queue that gets the alerts."""

    @classmethod
    @contextlib.contextmanager
    def make(cls, folder: Path, engine: Engine) -> Iterator[Deployment]:
        """Deploy everything, and stop all processes at the end of the block."""
        certificates = folder / "certificates"
        certificates.mkdir()
        folder.chmod(0o755)
        containers = {
            "environment": {"SSL_CERT_FILE": f"{CERTIFICATES}/ca.pem"},
            "volumes": [f"{certificates}:{CERTIFICATES}:ro"],
            "out_of_memory": str(OUT_OF_MEMORY),
        }
        with (
            MiniStack.start(
                folder / "ministack",
                DOCKER_HOST=f"unix://{engine.socket}",
                ECS_CONTAINERS=json.dumps(containers),
                SFN_WAIT_SCALE="0.05",
            ) as emulator,
            ClusterProcess.start(folder / "redshift", emulator.environment()) as cluster,
            engine.registry(folder) as registry,
        ):
            shutil.copy(cluster.certificate, certificates / "ca.pem")
            storage = stacks.deploy(emulator, "storage", {"Cluster": "analytics"})
            set_password(cluster, emulator, CANARY)
            checkout = Checkout.make(folder / "checkout", "fargate")
            lake = fill_lake(checkout, emulator, storage["LakeBucket"])
            image = push(engine, f"{registry}/game-analytics-dbt")
            build = stacks.deploy(emulator, "build", stacks.BUILD | {"ImageUri": image})
            assert lake
            inbox = subscribe(emulator, storage["AlertTopicArn"])
            yield cls(engine, emulator, cluster, checkout, storage, build, image, inbox)

    @property
    def docs(self) -> str:
        """The setting DOCS."""
        return f"s3://{self.storage['DocsBucket']}/site"

    @property
    def lake(self) -> str:
        """The setting LAKE."""
        return f"s3://{self.storage['LakeBucket']}/lake"

    def objects(self, prefix: str) -> dict[str, bytes]:
        """The content of all objects below a prefix of DOCS, by the rest of their keys."""
        client, bucket = self.emulator.client("s3"), self.storage["DocsBucket"]
        found = {}
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"site/{prefix}"
        ):
            for entry in page.get("Contents", []):
                content = client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                found[entry["Key"].removeprefix(f"site/{prefix}")] = content
        return found

    def give_memory(self, megabytes: int) -> None:
        """Set the memory of the task definition by updating the stack."""
        changed = stacks.BUILD | {"ImageUri": self.image, "TaskMemory": str(megabytes)}
        stacks.deploy(self.emulator, "build", changed, update=True)

    def containers(self) -> list[str]:
        """The names of the containers of running tasks, as MiniStack makes them."""
        ecs, cluster = self.emulator.client("ecs"), self.build["ClusterName"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"]
        return [f"ministack-ecs-{arn.rsplit('/', 1)[-1][:8]}-dbt" for arn in arns]

    @contextlib.contextmanager
    def held(self) -> Iterator[list[str]]:
        """Pause the running containers within the block; yields their names."""
        containers = self.containers()
        self.engine.podman("pause", *containers)
        try:
            yield containers
        finally:
            self.engine.podman("unpause", *containers)

    def alerts(self) -> list[str]:
        """The texts of the alerts since the last call."""
        queue = self.emulator.client("sqs")
        found: list[str] = []
        while received := queue.receive_message(QueueUrl=self.inbox, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in received:
                found.append(json.loads(message["Body"])["Message"])
                queue.delete_message(QueueUrl=self.inbox, ReceiptHandle=message["ReceiptHandle"])
        return found

    def rotate(self, password: str) -> None:
        """Change the password of the user `dbt`, as the rotation of the secret does."""
        set_password(self.cluster, self.emulator, password)

    def wait_for(self, *parts: str) -> None:
        """Wait until a run has published an object whose key contains all of these texts."""
        client, bucket = self.emulator.client("s3"), self.storage["DocsBucket"]
        until = time.monotonic() + 300
        while time.monotonic() < until:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix="site/runs/"
            )
            names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            if any(all(part in name for part in parts) for name in names):
                return
            time.sleep(0.2)
        raise AssertionError(f"no object with {parts} was published within 300 s")

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables of an Airflow that uses this account."""
        return {
            "GAME_ANALYTICS_TARGET": "redshift",
            "GAME_ANALYTICS_LAKE": self.lake,
            "GAME_ANALYTICS_DOCS": self.docs,
            "GAME_ANALYTICS_ECS_CLUSTER": self.build["ClusterName"],
            "GAME_ANALYTICS_ECS_SUBNETS": stacks.SUBNETS,
            "GAME_ANALYTICS_ECS_SECURITY_GROUPS": stacks.SECURITY_GROUPS,
            "GAME_ANALYTICS_STATE_MACHINE_ARN": self.build["StateMachineArn"],
            "GAME_ANALYTICS_ALERT_TOPIC_ARN": self.storage["AlertTopicArn"],
            "AIRFLOW__SECRETS__BACKEND": BACKEND,
            "AIRFLOW__SECRETS__BACKEND_KWARGS": SECRETS,
            "AIRFLOW__WORKERS__SECRETS_BACKEND": BACKEND,
            "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": SECRETS,
            **self.emulator.environment(),
            **self.cluster.trust(),
        }

    def start(self, name: str) -> str:
        """Start an execution of the state machine; returns its ARN."""
        client = self.emulator.client("stepfunctions")
        machine = self.build["StateMachineArn"]
        return str(client.start_execution(stateMachineArn=machine, name=name)["executionArn"])

    def ended(self, arn: str, seconds: float = 850) -> dict[str, Any]:
        """Wait for the end of an execution; returns its description."""
        client = self.emulator.client("stepfunctions")
        until = time.monotonic() + seconds
        while (described := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < until, "the execution does not end"
            time.sleep(0.5)
        return dict(described)

    def log(self) -> str:
        """The output of all containers, from CloudWatch Logs."""
        logs, group = self.emulator.client("logs"), self.storage["LogGroup"]
        events = logs.filter_log_events(logGroupName=group)["events"]
        return "\n".join(event["message"] for event in events)

    def tasks(self, word: str) -> list[dict[str, Any]]:
        """The stopped ECS tasks whose command or variables contain a word."""
        ecs, cluster = self.emulator.client("ecs"), self.build["ClusterName"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
        found = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        return [task for task in found if word in json.dumps(task["overrides"])]

    def compared(self) -> subprocess.CompletedProcess[str]:
        """Compare the marts with those that DuckDB builds from the same lake.

        The login is read from the secret.
        """
        built = self.checkout.run("include.laptop.build", GAME_ANALYTICS_EXECUTION="watcher")
        assert built.returncode == 0, built.stdout + built.stderr
        file = self.checkout.root / "data/warehouse.duckdb"
        secret = stacks.connection(self.emulator)
        return subprocess.run(
            [
                str(ROOT / ".venv/dbt/bin/python"),
                *("-m", "tests.redshift.compared", str(file), self.lake),
            ],
            cwd=ROOT,
            env={
                **self.checkout.environment,
                **self.emulator.environment(),
                **self.cluster.login(secret["username"], secret["password"]),
                "GAME_ANALYTICS_EXECUTION": "watcher",
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
            check=False,
        )


def set_password(cluster: ClusterProcess, emulator: MiniStack, password: str) -> None:
    """Set the password of the user `dbt` in the database and in the secret."""
    cluster.bootstrap(password=password)
    connection = {
        "engine": "redshift",
        "host": cluster.host,
        "port": cluster.port,
        "username": "dbt",
        "password": password,
        "dbname": cluster.dbname,
    }
    stacks.put_connection(emulator, connection)


def subscribe(emulator: MiniStack, topic: str) -> str:
    """Create a queue that gets the messages of a topic; returns its URL."""
    queues = emulator.client("sqs")
    url = str(queues.create_queue(QueueName="alerts")["QueueUrl"])
    described = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = described["Attributes"]["QueueArn"]
    emulator.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def fill_lake(checkout: Checkout, emulator: MiniStack, bucket: str) -> int:
    """Generate a sample, and copy it to the bucket of the lake; returns the number of objects."""
    output = shutil.ignore_patterns("target", "logs")
    shutil.copytree(ROOT / "dbt", checkout.root / "dbt", ignore=output)
    local = {"GAME_ANALYTICS_EXECUTION": "watcher"}
    for command in (
        ("include.manifest",),
        ("include.lake", "generate", *SAMPLE),
    ):
        ran = checkout.run_dbt(*command, **local)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    s3, count = emulator.client("s3"), 0
    for path in checkout.lake.rglob("*"):
        name = path.relative_to(checkout.lake).as_posix()
        if path.is_file() and not name.startswith("_"):
            s3.put_object(Bucket=bucket, Key=f"lake/{name}", Body=path.read_bytes())
            count += 1
    return count


def push(engine: Engine, repository: str) -> str:
    """Push the image of this checkout, remove its local tag, and return its reference by digest."""
    local = engine.image()
    engine.podman("tag", local, f"{repository}:tests")
    engine.podman("push", "--quiet", f"{repository}:tests")
    engine.podman("rmi", f"{repository}:tests")
    command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{repository}:tests"]
    inspected = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"{repository}@{json.loads(inspected.stdout)['Digest']}"
