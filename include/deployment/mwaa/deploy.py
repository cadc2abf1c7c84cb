"""`python -m include.deployment.mwaa.deploy`: bring `dist/mwaa` to an MWAA environment.

The deploy first checks everything, and changes nothing if a check fails. `--plan` stops there. Then
it uploads the wheels and the files of `dags/` that differ, deletes the files that the package no
longer has, and uploads the manifest and its fingerprint last. A run that starts in between sees
only a part of `dbt/` and fails in preflight with a message that gives this reason.

If `plugins.zip`, `requirements.txt` or `startup.sh` has changed, the environment is updated, which
takes MWAA 20 to 30 minutes. Tasks that are running then may finish. `--first` only uploads the
files, for an environment that will be created next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from include.command import command
from include.deployment.mwaa.package import DIST, size
from include.deployment.mwaa.plan import UPDATES, Plan, make_plan
from include.deployment.mwaa.target import Target
from include.object_store import CONNECTIONS
from include.settings import UserError


def deploy(target: Target, planned: Plan, report: Callable[[str], None] = print) -> None:
    """Carry out a plan, and pass one line of text per change to `report`.

    In this order a run that is under way either is not affected or fails in preflight.
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for key, _ in zip(
            planned.upload,
            pool.map(lambda key: target.put(key, planned.upload[key]), planned.upload),
            strict=True,
        ):
            report(f"uploaded {key}")
    for key in planned.delete:
        target.delete(key)
        report(f"deleted {key}")
    for key, path in planned.last.items():
        target.put(key, path)
        report(f"uploaded {key}")
    arguments = dict(planned.update)
    for name, (path_name, version_name) in UPDATES.items():
        key = arguments.get(path_name, name)
        if key in planned.replace:
            arguments[version_name] = target.put(key, planned.replace[key])
            report(f"uploaded {key}")
    if planned.environment and (arguments or planned.forced):
        target.update(arguments)
        report(
            f"{planned.environment} is being updated, which takes 20 to 30 minutes: until then its "
            "workers have the dbt, plugins and packages of the last deploy."
        )


@command
def main() -> int:
    """Print the plan and, without `--plan`, carry it out."""
    parser = argparse.ArgumentParser(
        prog="python -m include.deployment.mwaa.deploy", description=__doc__
    )
    parser.add_argument("--bucket", default="")
    parser.add_argument("--environment", default="")
    parser.add_argument("--plan", action="store_true", help="Print the plan, and change nothing.")
    parser.add_argument(
        "--update", action="store_true", help="Update the environment even if nothing changed."
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="Also overwrite objects that no deploy of this package wrote.",
    )
    parser.add_argument(
        "--first",
        action="store_true",
        help="Only upload the files, because the environment does not exist yet.",
    )
    arguments = parser.parse_args()
    if not arguments.bucket or not (arguments.environment or arguments.first):
        raise UserError(
            "a deploy needs a bucket and an environment: "
            "`make deploy BUCKET=<bucket> ENVIRONMENT=<name>`."
        )
    target = Target("" if arguments.first else arguments.environment, arguments.bucket)
    planned = make_plan(target, force=arguments.update, replace_others=arguments.replace)
    for line in planned.lines():
        print(f"would {line}" if arguments.plan and line != "nothing to do" else line)
    total = sum(map(size, (*planned.upload.values(), *planned.last.values())))
    print(f"{total / 1e6:.2f} MB of {size(DIST) / 1e6:.2f} MB", flush=True)
    if not arguments.plan:
        deploy(target, planned, report=lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
