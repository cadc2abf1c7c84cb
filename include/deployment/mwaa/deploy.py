"""`python -m include.deployment.mwaa.deploy`: `dist/mwaa` to the bucket of an MWAA environment.

First everything is looked at, and nothing is changed if something is wrong; `--plan` ends there.
Then: the wheels; the files of `dags/` that differ, and those that are gone; last the manifest and
its fingerprint, so that a run that sees only a part of `dbt/` fails in preflight and says so. If
`plugins.zip`, `requirements.txt` or `startup.sh` have changed, the environment is updated, which
takes MWAA 20 to 30 minutes; tasks that run meanwhile may come to their end. `--first` brings the
files alone, for an environment that is made next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from include.command import command
from include.deployment.mwaa.package import DIST, size
from include.deployment.mwaa.plan import UPDATES, Plan, make_plan
from include.deployment.mwaa.target import THREADS, Target
from include.settings import UserError


def deploy(target: Target, planned: Plan, say: Callable[[str], None] = print) -> None:
    """Do what was planned, in an order that a run under way survives or notices."""
    with ThreadPoolExecutor(THREADS) as pool:
        for key, _ in zip(
            planned.upload,
            pool.map(lambda key: target.put(key, planned.upload[key]), planned.upload),
            strict=True,
        ):
            say(f"uploaded {key}")
    for key in planned.delete:
        target.delete(key)
        say(f"deleted {key}")
    for key, path in planned.last.items():
        target.put(key, path)
        say(f"uploaded {key}")
    arguments = dict(planned.update)
    for name, (path_name, version_name) in UPDATES.items():
        key = arguments.get(path_name, name)
        if key in planned.replace:
            arguments[version_name] = target.put(key, planned.replace[key])
            say(f"uploaded {key}")
    if planned.environment and (arguments or planned.forced):
        target.update(arguments)
        say(
            f"{planned.environment} is being updated, in 20 to 30 minutes: until then its workers "
            "have the dbt, plugins and packages of before."
        )


@command
def main() -> int:
    """Plan and deploy."""
    parser = argparse.ArgumentParser(
        prog="python -m include.deployment.mwaa.deploy", description=__doc__
    )
    parser.add_argument("--bucket", default="")
    parser.add_argument("--environment", default="")
    parser.add_argument("--plan", action="store_true", help="Say what would be done, and stop.")
    parser.add_argument("--update", action="store_true", help="Update the environment anyway.")
    parser.add_argument(
        "--replace", action="store_true", help="Replace also what no deploy of this package wrote."
    )
    parser.add_argument(
        "--first", action="store_true", help="There is no environment yet: bring it its files."
    )
    asked = parser.parse_args()
    if not asked.bucket or not (asked.environment or asked.first):
        raise UserError("say where to: `make deploy BUCKET=<bucket> ENVIRONMENT=<name>`.")
    target = Target("" if asked.first else asked.environment, asked.bucket)
    planned = make_plan(target, force=asked.update, replace_others=asked.replace)
    for line in planned.lines():
        print(f"would {line}" if asked.plan and line != "nothing to do" else line)
    total = sum(map(size, (*planned.upload.values(), *planned.last.values())))
    print(f"{total / 1e6:.2f} MB of {size(DIST) / 1e6:.2f} MB", flush=True)
    if not asked.plan:
        deploy(target, planned, say=lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
