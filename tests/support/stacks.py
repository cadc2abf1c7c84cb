"""Creates the stacks of `include/aws/` in the emulator, by the documented commands or directly."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.settings import ROOT
from tests.support.ministack import MiniStack

FOLDER = ROOT / "include" / "aws"
PROGRAMS = ROOT / ".venv" / "aws" / "bin"
MACHINE = FOLDER / "state_machine.asl.json"
SUBNETS = "subnet-0123456789abcdef0,subnet-0123456789abcdef1"
SECURITY_GROUPS = "sg-0123456789abcdef0"
DIGEST = f"sha256:{'0' * 63}1"
CONNECTION = {
    "engine": "redshift",
    "host": "analytics.abc.us-east-1.redshift.amazonaws.com",
    "port": 5439,
    "username": "dbt",
    "password": "not-a-real-one",
    "dbname": "analytics",
}
BUILD = {
    "ImageUri": f"000000000000.dkr.ecr.us-east-1.amazonaws.com/game-analytics-dbt@{DIGEST}",
    "Subnets": SUBNETS,
    "SecurityGroups": SECURITY_GROUPS,
}


def readme_commands() -> dict[str, str]:
    """The shell commands of the documented first run, by the title of the step."""
    section = (FOLDER / "first-run.md").read_text()
    section = section.partition("\n## From account to first run\n")[2]
    section = section.partition("\n## ")[0]
    found: dict[str, str] = {}
    title = ""
    for part in re.split(r"^( *```\n.*?```)$", section, flags=re.MULTILINE | re.DOTALL):
        if part.lstrip().startswith("```"):
            lines = [line.removeprefix("   ") for line in part.splitlines()[1:-1]]
            found[title] = found.get(title, "") + "\n".join(lines) + "\n"
        else:
            for named in re.findall(r"^\d\. \*\*([^*.]+?)\.?\*\*", part, re.MULTILINE):
                title = named
    return found


def run_commands(
    emulator: MiniStack, commands: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run shell commands in a folder with `include/`. AWS's command line is first on the PATH."""
    if not (folder / "include").exists():
        (folder / "include").symlink_to(ROOT / "include")
    given = emulator.environment() | environment
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        cwd=folder,
        env=os.environ
        | given
        | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "AWS_PAGER": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def reset(emulator: MiniStack) -> None:
    """Empty the emulator's account."""
    request = urllib.request.Request(f"{emulator.endpoint}/_ministack/reset", method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass


def outputs(emulator: MiniStack, stack: str) -> dict[str, str]:
    """The outputs of a stack, `storage` or `build`."""
    (found,) = emulator.client("cloudformation").describe_stacks(
        StackName=f"game-analytics-{stack}"
    )["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}


def deploy(
    emulator: MiniStack, stack: str, parameters: Mapping[str, str], update: bool = False
) -> dict[str, str]:
    """Create or update a stack as the commands `package` and `deploy` do; returns its outputs."""
    client = emulator.client("cloudformation")
    template = (FOLDER / f"{stack}.yaml").read_text()
    if stack == "build":
        place = {"Bucket": outputs(emulator, "storage")["CodeBucket"], "Key": "state_machine"}
        emulator.client("s3").put_object(**place, Body=MACHINE.read_bytes())
        template = template.replace(
            f"DefinitionS3Location: {MACHINE.name}", f"DefinitionS3Location: {json.dumps(place)}"
        )
    arguments: dict[str, Any] = {
        "StackName": f"game-analytics-{stack}",
        "TemplateBody": template,
        "Capabilities": ["CAPABILITY_IAM"],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
    }
    change, done = ("update_stack", "stack_update_complete") if update else CREATION
    getattr(client, change)(**arguments)
    client.get_waiter(done).wait(
        StackName=arguments["StackName"], WaiterConfig={"Delay": 0.2, "MaxAttempts": 200}
    )
    return outputs(emulator, stack)


CREATION = ("create_stack", "stack_create_complete")


def delete(emulator: MiniStack, stack: str) -> None:
    """Delete a stack, and wait until it is deleted."""
    client = emulator.client("cloudformation")
    name = f"game-analytics-{stack}"
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 200}
    )


CONNECTION_SECRET = "airflow/connections/redshift_default"  # noqa: S105 - the name of the secret


def connection(emulator: MiniStack) -> dict[str, Any]:
    """The current value of the secret with the login of Redshift."""
    secret = emulator.client("secretsmanager").get_secret_value(SecretId=CONNECTION_SECRET)
    return dict(json.loads(secret["SecretString"]))


def put_connection(emulator: MiniStack, value: Mapping[str, Any] = CONNECTION) -> None:
    """Write the login of Redshift to the secret, as an administrator does."""
    emulator.client("secretsmanager").put_secret_value(
        SecretId=CONNECTION_SECRET,
        SecretString=json.dumps(value),
    )
