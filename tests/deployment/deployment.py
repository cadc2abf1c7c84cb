"""All of it in one place: stacks, registry, containers, lake in S3, stand-in of Redshift."""

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
"""Where a container finds the certificate of the stand-in, as that of Amazon is in the image."""


@dataclass(frozen=True)
class Deployment:
    """An account in which everything is deployed, as the README says it."""

    engine: Engine
    emulator: MiniStack
    cluster: ClusterProcess
    checkout: Checkout
    storage: dict[str, str]
    build: dict[str, str]
    image: str
    inbox: str
    """The queue that gets the alerts, by its URL."""

    @classmethod
    @contextlib.contextmanager
    def make(cls, folder: Path, engine: Engine) -> Iterator[Deployment]:
        """Deploy; what runs ends with the block."""
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
        """Everything below a prefix of DOCS, by its name behind that."""
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
        """Change the task definition, as the README's command of the stack does."""
        changed = stacks.BUILD | {"ImageUri": self.image, "TaskMemory": str(megabytes)}
        stacks.deploy(self.emulator, "build", changed, update=True)

    def containers(self) -> list[str]:
        """The containers of the tasks that ECS runs, by MiniStack's names."""
        ecs, cluster = self.emulator.client("ecs"), self.build["ClusterName"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"]
        return [f"ministack-ecs-{arn.rsplit('/', 1)[-1][:8]}-dbt" for arn in arns]

    @contextlib.contextmanager
    def held(self) -> Iterator[list[str]]:
        """Let the containers that run stand still in the block; yields them."""
        containers = self.containers()
        self.engine.podman("pause", *containers)
        try:
            yield containers
        finally:
            self.engine.podman("unpause", *containers)

    def alerts(self) -> list[str]:
        """What the topic of the alerts has been sent, and what was not asked for before."""
        queue = self.emulator.client("sqs")
        found: list[str] = []
        while told := queue.receive_message(QueueUrl=self.inbox, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in told:
                found.append(json.loads(message["Body"])["Message"])
                queue.delete_message(QueueUrl=self.inbox, ReceiptHandle=message["ReceiptHandle"])
        return found

    def rotate(self, password: str) -> None:
        """Change the password of the user `dbt`, as the secret's rotation does."""
        set_password(self.cluster, self.emulator, password)

    def wait_for(self, *parts: str) -> None:
        """Wait until a run has published something whose name has all of this in it."""
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
        raise AssertionError(f"{parts} never came")

    @property
    def settings(self) -> dict[str, str]:
        """The environment of an Airflow of this account."""
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

    def ended(self, arn: str, seconds: float = 300) -> dict[str, Any]:
        """An execution when it has ended."""
        client = self.emulator.client("stepfunctions")
        until = time.monotonic() + seconds
        while (described := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < until, "the execution does not end"
            time.sleep(0.5)
        return dict(described)

    def log(self) -> str:
        """What containers have printed, as CloudWatch has it; it is long."""
        logs, group = self.emulator.client("logs"), self.storage["LogGroup"]
        events = logs.filter_log_events(logGroupName=group)["events"]
        return "\n".join(event["message"] for event in events)

    def tasks(self, word: str) -> list[dict[str, Any]]:
        """The tasks that ECS has stopped, of a run whose command or variables have this word."""
        ecs, cluster = self.emulator.client("ecs"), self.build["ClusterName"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
        found = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        return [task for task in found if word in json.dumps(task["overrides"])]

    def compared(self) -> subprocess.CompletedProcess[str]:
        """The marts, read with the secret of now, beside those of DuckDB from the same lake."""
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
    """Of the user `dbt`, in the database and in the secret."""
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
    """Make a queue that gets what a topic is sent; returns its URL."""
    queues = emulator.client("sqs")
    url = str(queues.create_queue(QueueName="alerts")["QueueUrl"])
    asked = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = asked["Attributes"]["QueueArn"]
    emulator.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def fill_lake(checkout: Checkout, emulator: MiniStack, bucket: str) -> int:
    """Make sample data, and copy it into the lake's bucket; returns the number of objects."""
    output = shutil.ignore_patterns("target", "logs")
    shutil.copytree(ROOT / "dbt", checkout.root / "dbt", ignore=output)
    local = {"GAME_ANALYTICS_EXECUTION": "watcher"}
    for command in (
        ("include.manifest",),
        ("include.lake", "generate", *SAMPLE),
        ("include.lake", "compact", "--source", "game_transactions"),
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
    """Push the image of these files, forget it, and return its reference by digest."""
    local = engine.image()
    engine.podman("tag", local, f"{repository}:tests")
    engine.podman("push", "--quiet", f"{repository}:tests")
    engine.podman("rmi", f"{repository}:tests")
    asked = ["skopeo", "inspect", "--tls-verify=false", f"docker://{repository}:tests"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True)
    return f"{repository}@{json.loads(told.stdout)['Digest']}"
