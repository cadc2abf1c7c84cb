"""Runs MiniStack, taught what AWS does and it does not. A program of its environment (.venv/aws).

1. CloudFormation keeps all of a task definition: `Secrets`, health check, volumes. A secret of a
   template without a value has none.
2. `ecs:runTask.sync` answers with the task alone, fails with the task's description if a container
   did not end well, with AmazonECS.Unknown if ECS placed none, and stops it at a time-out.
3. `aws-sdk:s3:getObject` exists.
4. Time-outs of tasks are scaled by SFN_WAIT_SCALE as waits are, though to no less than 5 seconds.

With ECS_SCRIPTS, a folder, ECS does what is written there instead of running a container:
`<run id>.json` is a list of one outcome per try, the last one for all further tries. An outcome is
`{"exit": 1, "reason": "…", "stop": "EssentialContainerExited", "why": "…", "result": {…}}`, or
`{"failures": ["RESOURCE:CPU"]}`, `{"error": "ServerException"}`, `{"hangs": true}`; `result` is put
as the object `result_at`. What the tries were asked for is appended to `<run id>.asked`.

With ECS_CONTAINERS, `{"environment": {…}, "volumes": […], "out_of_memory": "…"}`, containers run by
DOCKER_HOST as on Fargate (read-only, `/tmp` apart, the memory of the task definition), but in the
network of this machine, where the emulator and the stand-in of Redshift listen on loopback; they
get these variables and Docker binds on top. If the kernel killed one for its memory, ECS says so.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import threading
import time
import uuid
from importlib import import_module
from pathlib import Path
from typing import Any

# By name: MiniStack is in no environment that the types are checked in.
stepfunctions: Any = import_module("ministack.services.stepfunctions")
provisioners: Any = import_module("ministack.services.cloudformation.provisioners")
secrets: Any = import_module("ministack.services.secretsmanager")
ecs: Any = import_module("ministack.services.ecs")
app: Any = import_module("ministack.app")

FREE_FORM = {"options", "dockerLabels"}
"""Maps whose keys are data."""
SHORTEST_TIMEOUT = 5.0
STOP_SECONDS = 60
KILLED = 137
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
SCRIPTS = os.environ.get("ECS_SCRIPTS")
CONTAINERS = json.loads(os.environ.get("ECS_CONTAINERS", "null"))

started: contextvars.ContextVar[list[tuple[str, str]]] = contextvars.ContextVar("started")
"""The tasks of the state that runs: cluster and ARN."""
tries: dict[str, int] = {}
stopped: dict[str, threading.Event] = {}


def camel(value: Any, verbatim: bool = False) -> Any:
    """Keys as ECS itself writes them, from those of a template."""
    if isinstance(value, dict):
        named = {key if verbatim else key[:1].lower() + key[1:]: key for key in value}
        return {name: camel(value[key], name in FREE_FORM) for name, key in named.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


def pascal(value: Any) -> Any:
    """Keys as Step Functions writes them, from those of ECS."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(item) for key, item in value.items()}
    return [pascal(item) for item in value] if isinstance(value, list) else value


def register_task_definition(create: Any) -> Any:
    """The provisioner of task definitions, with volumes under the names that ECS has for them."""

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        given = {**properties, "Volumes": camel(properties.get("Volumes", []))}
        return create(logical_id, given, stack)

    return created


def make_secret(create: Any) -> Any:
    """The provisioner of secrets, which stays empty if it is given no value."""

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name, attributes = create(logical_id, properties, stack)
        if not properties.keys() & {"SecretString", "GenerateSecretString"}:
            secrets._secrets[name]["Versions"].clear()
        return name, attributes

    return created


def run_task(resource: str, asked: dict[str, Any]) -> Any:
    """`ecs:runTask` and `ecs:runTask.sync` as Step Functions answers."""
    request = stepfunctions._pascal_to_camel(asked)
    scripted = script(request)
    if scripted is not None:
        task = act(scripted, request)
    else:
        status, _, body = ecs._run_task(request)
        answer = json.loads(body or "{}")
        if status >= 400:
            kind = str(answer.get("__type", "AmazonECSException")).split("#")[-1]
            raise failure(f"ECS.{kind}", str(answer.get("message", "")))
        if not resource.endswith(".sync"):
            return pascal(answer)
        if answer.get("failures") or not answer.get("tasks"):
            raise failure("AmazonECS.Unknown", json.dumps(pascal(answer)))
        (placed,) = answer["tasks"]
        cluster = request.get("cluster", "default")
        started.get([]).append((cluster, placed["taskArn"]))
        task = pascal(ended(cluster, placed["taskArn"]))
    exits = [container.get("ExitCode") for container in task["Containers"]]
    if task.get("StopCode") != "EssentialContainerExited" or any(code != 0 for code in exits):
        raise failure("States.TaskFailed", json.dumps(task, separators=(",", ":")))
    return task


def ended(cluster: str, arn: str) -> dict[str, Any]:
    """A task of ECS when it has stopped; MiniStack itself waits no longer than 600 scaled seconds.

    How long a state may take is for `timed` to say.
    """
    while True:
        _, _, body = ecs._describe_tasks({"cluster": cluster, "tasks": [arn]})
        for task in json.loads(body or "{}").get("tasks", []):
            if task["lastStatus"] == "STOPPED":
                return dict(task)
        time.sleep(0.5)


def failure(error: str, cause: str) -> Exception:
    """An error of a state."""
    made: Exception = stepfunctions._ExecutionError(error, cause)
    return made


def container_options(build: Any) -> Any:
    """How a container is run, from its definition; the arguments and the result are Docker's."""

    def built(
        definition: dict[str, Any], task_definition: dict[str, Any], *arguments: Any
    ) -> dict[str, Any]:
        options: dict[str, Any] = build(definition, task_definition, *arguments)
        for name in ("network", "extra_hosts", "ports"):
            options.pop(name, None)
        mounts = definition.get("mountPoints", [])
        # A volume of Fargate is as large as the task's disk, and who mounts it may write.
        return options | {
            "network_mode": "host",
            "read_only": bool(definition.get("readonlyRootFilesystem")),
            "tmpfs": {mount["containerPath"]: "mode=1777" for mount in mounts},
            "user": definition.get("user"),
            "environment": options["environment"] | CONTAINERS.get("environment", {}),
            "volumes": CONTAINERS.get("volumes", []),
            "mem_limit": f"{task_definition['memory']}m",
        }

    return built


def reasons(mark: Any) -> Any:
    """How a task ends, with the reason for a container that wanted more memory than it has."""

    def marked(arn: str, task: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        for container, docker_id in zip(
            task["containers"], task.get("_docker_ids") or (), strict=False
        ):
            if container.get("exitCode") == KILLED and was_out_of_memory(docker_id):
                container["reason"] = OUT_OF_MEMORY
        return mark(arn, task, *arguments, **named)

    return marked


def was_out_of_memory(docker_id: str) -> bool:
    """Whether a container was killed for its memory's sake.

    Debian's conmon tells of it in a file where podman was started, in which podman does not look.
    """
    if ecs._get_docker().containers.get(docker_id).attrs["State"]["OOMKilled"]:
        return True
    told = Path(CONTAINERS["out_of_memory"])
    found = told.exists()
    told.unlink(missing_ok=True)
    return found


def metadata(register: Any) -> Any:
    """The addresses of AWS that a container is told, as they are in the network of this machine."""

    def registered(*arguments: Any) -> Any:
        *before, _, address = arguments
        return register(*before, True, address)

    return registered


def run_id(request: dict[str, Any]) -> str:
    """What the container is to call its run."""
    (container,) = request.get("overrides", {}).get("containerOverrides", [{}])
    command = container.get("command", [])
    return str(command[command.index("--run-id") + 1]) if "--run-id" in command else ""


def script(request: dict[str, Any]) -> dict[str, Any] | None:
    """What this try of a run is to come to; None if a container is to decide that."""
    if not SCRIPTS or not (name := run_id(request)):
        return None
    path = Path(SCRIPTS) / f"{name}.json"
    if not path.exists():
        return None
    with (path.with_suffix(".asked")).open("a") as log:
        log.write(json.dumps(request) + "\n")
    outcomes: list[dict[str, Any]] = json.loads(path.read_text())
    number = tries.get(name, 0)
    tries[name] = number + 1
    return outcomes[min(number, len(outcomes) - 1)]


def act(outcome: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Play an outcome; returns the stopped task, as Step Functions describes one."""
    if "error" in outcome:
        words = outcome.get("words", outcome["error"])
        raise failure(f"ECS.{outcome['error']}", f"{words} (Service: AmazonECS; Status Code: 400)")
    if "failures" in outcome:
        failures = [{"Reason": reason} for reason in outcome["failures"]]
        raise failure("AmazonECS.Unknown", json.dumps({"Failures": failures, "Tasks": []}))
    number = uuid.uuid4().hex
    arn = f"arn:aws:ecs:us-east-1:000000000000:task/game-analytics/{number}"
    if outcome.get("hangs"):
        stopped[arn] = threading.Event()
        started.get([]).append((str(request.get("cluster")), arn))
        stopped[arn].wait(60)
        Path(str(SCRIPTS), f"{run_id(request)}.stopped").touch()
    if "result" in outcome:
        put(outcome["result_at"], json.dumps(outcome["result"]))
    container: dict[str, Any] = {"Name": "dbt", "TaskArn": arn, "LastStatus": "STOPPED"}
    if "exit" in outcome:
        container["ExitCode"] = outcome["exit"]
    if "reason" in outcome:
        container["Reason"] = outcome["reason"]
    return {
        "Attachments": [],
        "ClusterArn": str(request.get("cluster")),
        "Containers": [container],
        "LastStatus": "STOPPED",
        "Overrides": pascal(request.get("overrides", {})),
        "StopCode": outcome.get("stop", "EssentialContainerExited"),
        "StoppedReason": outcome.get("why", "Essential container in task exited"),
        "TaskArn": arn,
    }


def s3(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
    """A request to the emulator's own S3."""
    given = {"host": f"s3.{stepfunctions.REGION}.amazonaws.com", **headers}
    status, answered, content = app.call_service_handler_sync(
        app.SERVICE_HANDLERS["s3"], method, path, given, body, {}
    )
    return status, answered, content if isinstance(content, bytes) else content.encode()


def put(path: str, text: str) -> None:
    """Write an object, `/<bucket>/<key>`."""
    status, _, content = s3("PUT", path, {}, text.encode())
    if status >= 400:
        raise RuntimeError(content.decode())


def get_object(asked: dict[str, Any]) -> dict[str, Any]:
    """`aws-sdk:s3:getObject`: the object as text."""
    headers = {"range": asked["Range"]} if "Range" in asked else {}
    status, _, content = s3("GET", f"/{asked['Bucket']}/{asked['Key']}", headers, b"")
    text = content.decode()
    if status >= 400:
        code = text.partition("<Code>")[2].partition("</Code>")[0] or "S3"
        raise failure(f"S3.{code}Exception", text)
    return {"Body": text, "ContentLength": len(content)}


def integration(invoke: Any) -> Any:
    """The AWS SDK integrations, and the one that MiniStack lacks."""

    def invoked(resource: str, asked: dict[str, Any]) -> Any:
        return get_object(asked) if resource.endswith(":s3:getObject") else invoke(resource, asked)

    return invoked


def timed(invoke: Any) -> Any:
    """A task with a time-out that is scaled; what it started on ECS is stopped when it is over."""

    def invoked(resource: str, asked: dict[str, Any], timeout: float) -> Any:
        token = started.set([])
        scaled = max(timeout * stepfunctions._SFN_WAIT_SCALE, SHORTEST_TIMEOUT)
        try:
            return invoke(resource, asked, scaled)
        except stepfunctions._ExecutionError as error:
            if error.error == "States.Timeout":
                for cluster, arn in started.get([]):
                    stop(cluster, arn)
            raise
        finally:
            started.reset(token)

    return invoked


def stop(cluster: str, arn: str) -> None:
    """Stop a task of ECS, or of a script."""
    if arn in stopped:
        stopped[arn].set()
        # Until it says so, as a container has seconds to end.
        time.sleep(0.5)
    else:
        with contextlib.suppress(Exception):
            ecs._stop_task({"cluster": cluster, "task": arn, "reason": "Task timed out"})


def teach() -> None:
    """Put all of it in place."""
    provisioners._normalize_container_defs = lambda given: [camel(one) for one in given]
    handlers = next(
        table
        for table in vars(provisioners).values()
        if isinstance(table, dict) and "create" in table.get("AWS::ECS::TaskDefinition", {})
    )
    if CONTAINERS is not None:
        containers: Any = import_module("docker.models.containers")
        stop_container = containers.Container.stop
        # As the task definition says, where MiniStack gives a container 5 seconds.
        containers.Container.stop = lambda one, **_: stop_container(one, timeout=STOP_SECONDS)
        ecs._build_run_kwargs = container_options(ecs._build_run_kwargs)
        ecs._register_metadata = metadata(ecs._register_metadata)
        ecs._mark_task_stopped = reasons(ecs._mark_task_stopped)
    create = register_task_definition(provisioners._ecs_task_def_create)
    # An update makes the next revision by the function's name.
    provisioners._ecs_task_def_create = create
    handlers["AWS::ECS::TaskDefinition"]["create"] = create
    handlers["AWS::SecretsManager::Secret"]["create"] = make_secret(provisioners._sm_secret_create)
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::ecs:runTask"] = run_task
    stepfunctions._invoke_aws_sdk_integration = integration(
        stepfunctions._invoke_aws_sdk_integration
    )
    stepfunctions._invoke_resource_with_timeout = timed(stepfunctions._invoke_resource_with_timeout)


if __name__ == "__main__":
    teach()
    app.main()
