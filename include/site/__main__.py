"""`python -m include.site publish` publishes what a run has built."""

from __future__ import annotations

import os
import sys

import click

from include.command import command
from include.messages import PublishRequest, from_json, to_json
from include.settings import Settings, UserError


@click.group(help=__doc__)
def site() -> None:
    """Group the commands."""


@site.command()
@click.option("--run-id", required=True, help="Id of the run whose artifacts are published.")
@click.option("--request", "is_requested", is_flag=True, help="Read a PublishRequest from stdin.")
def publish(run_id: str, is_requested: bool) -> None:
    """Write the pages of a run, and make it the latest one.

    The last line of the output is a `Published` of `include.messages`.
    """
    from include.site.publish import publish_run

    request = PublishRequest()
    if is_requested:
        try:
            request = from_json(sys.stdin.readline(), PublishRequest)
        except ValueError as error:
            raise UserError(f"the request on the standard input cannot be read: {error}") from None
    print(to_json(publish_run(Settings.from_env(os.environ), run_id, request)))


@command
def main() -> int:
    """Run the command of the command line."""
    try:
        site.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("stopped; the pages that were published before are unchanged.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
