"""Runs MiniStack with additions: what AWS does and MiniStack does not. It needs `.venv/aws`.

1. CloudFormation keeps all parts of a task definition: `Secrets`, health check, volumes. A secret
   without a value in the template gets none.
2. `ecs:runTask.sync` returns only the task. It fails with the task's description if a container
   failed, fails with AmazonECS.Unknown if ECS placed no task, and stops the task at a time-out.
3. `aws-sdk:s3:getObject` exists.
4. Time-outs of tasks are scaled by SFN_WAIT_SCALE like waits, but are at least 5 seconds.

With ECS_SCRIPTS, a folder, ECS runs no container but follows scripts: `<run id>.json` is a list
with one outcome per try, and the last outcome serves for all further tries. An outcome is
`{"exit": 1, "reason": "…", "stop": "EssentialContainerExited", "why": "…", "result": {…}}`, or
`{"failures": ["RESOURCE:CPU"]}`, `{"error": "ServerException"}`, or `{"hangs": true}`. `result` is
written to the object `result_at`. Each request is appended to `<run id>.asked`.

With ECS_CONTAINERS, `{"environment": {…}, "volumes": […], "out_of_memory": "…"}`, the Docker API of
DOCKER_HOST runs the containers as Fargate does: read-only except `/tmp`, with the memory of the
task definition. They use the network of this machine, because the emulator and the stand-in of
Redshift listen on loopback, and get these variables and volumes in addition. If the kernel killed a
container for its memory, ECS gives this reason.
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

# The modules are imported by name, because mypy's environments do not have MiniStack.
stepfunctions: Any = import_module("ministack.services.stepfunctions")
provisioners: Any = import_module("ministack.services.cloudformation.provisioners")
secrets: Any = import_module("ministack.services.secretsmanager")
ecs: Any = import_module("ministack.services.ecs")
app: Any = import_module("ministack.app")

FREE_FORM = {"options", "dockerLabels"}
"""Maps whose keys are data and must not change."""
SHORTEST_TIMEOUT = 5.0
STOP_SECONDS = 60
KILLED = 137
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
SCRIPTS = os.environ.get("ECS_SCRIPTS")
CONTAINERS = json.loads(os.environ.get("ECS_CONTAINERS", "null"))

started: contextvars.ContextVar[list[tuple[str, str]]] = contextvars.ContextVar("started")
"""The tasks that the running state has started: cluster and ARN."""
tries: dict[str, int] = {}
stopped: dict[str, threading.Event] = {}


def camel(value: Any, verbatim: bool = False) -> Any:
    """A value of a template with its keys in ECS's form (camel case)."""
    if isinstance(value, dict):
        named = {key if verbatim else key[:1].lower() + key[1:]: key for key in value}
        return {name: camel(value[key], name in FREE_FORM) for name, key in named.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


def pascal(value: Any) -> Any:
    """A value of ECS with its keys in Step Functions' form (Pascal case)."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(item) for key, item in value.items()}
    return [pascal(item) for item in value] if isinstance(value, list) else value


def register_task_definition(create: Any) -> Any:
    """Wrap the provisioner of task definitions so that volumes have the keys of ECS."""

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        given = {**properties, "Volumes": camel(properties.get("Volumes", []))}
        return create(logical_id, given, stack)

    return created


def make_secret(create: Any) -> Any:
    """Wrap the provisioner of secrets so that a secret without a value stays empty."""

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name, attributes = create(logical_id, properties, stack)
        if not properties.keys() & {"SecretString", "GenerateSecretString"}:
            secrets._secrets[name]["Versions"].clear()
        return name, attributes

    return created


def run_task(resource: str, arguments: dict[str, Any]) -> Any:
    """Run `ecs:runTask` or `ecs:runTask.sync`; returns or raises what Step Functions would."""
    request = stepfunctions._pascal_to_camel(arguments)
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
    """Wait until a task of ECS has stopped; returns it.

    MiniStack itself waits for 600 scaled seconds only. Here `timed` limits the time of a state.
    """
    while True:
        _, _, body = ecs._describe_tasks({"cluster": cluster, "tasks": [arn]})
        for task in json.loads(body or "{}").get("tasks", []):
            if task["lastStatus"] == "STOPPED":
                return dict(task)
        time.sleep(0.5)


def failure(error: str, cause: str) -> Exception:
    """The exception with which a state fails."""
    made: Exception = stepfunctions._ExecutionError(error, cause)
    return made


def container_options(build: Any) -> Any:
    """Wrap the function that makes Docker's options from a container definition."""

    def built(
        definition: dict[str, Any], task_definition: dict[str, Any], *arguments: Any
    ) -> dict[str, Any]:
        options: dict[str, Any] = build(definition, task_definition, *arguments)
        for name in ("network", "extra_hosts", "ports"):
            options.pop(name, None)
        mounts = definition.get("mountPoints", [])
        # On Fargate a volume has the size of the task's disk, and every user can write to it.
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
    """Wrap the end of a task so that a container that ran out of memory has this reason."""

    def marked(arn: str, task: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        for container, docker_id in zip(
            task["containers"], task.get("_docker_ids") or (), strict=False
        ):
            if container.get("exitCode") == KILLED and was_out_of_memory(docker_id):
                container["reason"] = OUT_OF_MEMORY
        return mark(arn, task, *arguments, **named)

    return marked


def was_out_of_memory(docker_id: str) -> bool:
    """Whether a container was killed because it ran out of memory.

    Debian's conmon writes this to a file in the folder where podman was started, and podman does
    not read the file.
    """
    if ecs._get_docker().containers.get(docker_id).attrs["State"]["OOMKilled"]:
        return True
    mark = Path(CONTAINERS["out_of_memory"])
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


def metadata(register: Any) -> Any:
    """Wrap the metadata of a container so that AWS's addresses are those of this machine."""

    def registered(*arguments: Any) -> Any:
        *before, _, address = arguments
        return register(*before, True, address)

    return registered


def run_id(request: dict[str, Any]) -> str:
    """The run id in the command of a task, empty if there is none."""
    (container,) = request.get("overrides", {}).get("containerOverrides", [{}])
    command = container.get("command", [])
    return str(command[command.index("--run-id") + 1]) if "--run-id" in command else ""


def script(request: dict[str, Any]) -> dict[str, Any] | None:
    """The scripted outcome of this try, or None if a container must run."""
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
    """Carry out a scripted outcome; returns the stopped task in Step Functions' form."""
    if "error" in outcome:
        message = outcome.get("message", outcome["error"])
        raise failure(
            f"ECS.{outcome['error']}", f"{message} (Service: AmazonECS; Status Code: 400)"
        )
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
    """Send a request to the emulator's own S3; returns status, headers and content."""
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


def get_object(arguments: dict[str, Any]) -> dict[str, Any]:
    """Run `aws-sdk:s3:getObject`; returns the object as text."""
    headers = {"range": arguments["Range"]} if "Range" in arguments else {}
    status, _, content = s3("GET", f"/{arguments['Bucket']}/{arguments['Key']}", headers, b"")
    text = content.decode()
    if status >= 400:
        code = text.partition("<Code>")[2].partition("</Code>")[0] or "S3"
        raise failure(f"S3.{code}Exception", text)
    return {"Body": text, "ContentLength": len(content)}


def integration(invoke: Any) -> Any:
    """Wrap the AWS SDK integrations to add `s3:getObject`, which MiniStack lacks."""

    def invoked(resource: str, arguments: dict[str, Any]) -> Any:
        if resource.endswith(":s3:getObject"):
            return get_object(arguments)
        return invoke(resource, arguments)

    return invoked


def timed(invoke: Any) -> Any:
    """Wrap a task state to scale its time-out, and to stop its ECS tasks at a time-out."""

    def invoked(resource: str, arguments: dict[str, Any], timeout: float) -> Any:
        token = started.set([])
        scaled = max(timeout * stepfunctions._SFN_WAIT_SCALE, SHORTEST_TIMEOUT)
        try:
            return invoke(resource, arguments, scaled)
        except stepfunctions._ExecutionError as error:
            if error.error == "States.Timeout":
                for cluster, arn in started.get([]):
                    stop(cluster, arn)
            raise
        finally:
            started.reset(token)

    return invoked


def stop(cluster: str, arn: str) -> None:
    """Stop a task of ECS or of a script."""
    if arn in stopped:
        stopped[arn].set()
        # A container also has some time to end.
        time.sleep(0.5)
    else:
        with contextlib.suppress(Exception):
            ecs._stop_task({"cluster": cluster, "task": arn, "reason": "Task timed out"})


def install() -> None:
    """Replace MiniStack's functions by those of this module."""
    provisioners._normalize_container_defs = lambda given: [camel(one) for one in given]
    handlers = next(
        table
        for table in vars(provisioners).values()
        if isinstance(table, dict) and "create" in table.get("AWS::ECS::TaskDefinition", {})
    )
    if CONTAINERS is not None:
        containers: Any = import_module("docker.models.containers")
        stop_container = containers.Container.stop
        # The task definition gives a container this time to stop. MiniStack gives it 5 seconds.
        containers.Container.stop = lambda one, **_: stop_container(one, timeout=STOP_SECONDS)
        ecs._build_run_kwargs = container_options(ecs._build_run_kwargs)
        ecs._register_metadata = metadata(ecs._register_metadata)
        ecs._mark_task_stopped = reasons(ecs._mark_task_stopped)
    create = register_task_definition(provisioners._ecs_task_def_create)
    # An update of a stack finds this function by its name and makes the next revision.
    provisioners._ecs_task_def_create = create
    handlers["AWS::ECS::TaskDefinition"]["create"] = create
    handlers["AWS::SecretsManager::Secret"]["create"] = make_secret(provisioners._sm_secret_create)
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::ecs:runTask"] = run_task
    stepfunctions._invoke_aws_sdk_integration = integration(
        stepfunctions._invoke_aws_sdk_integration
    )
    stepfunctions._invoke_resource_with_timeout = timed(stepfunctions._invoke_resource_with_timeout)


if __name__ == "__main__":
    install()
    app.main()
