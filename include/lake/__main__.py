"""`python -m include.lake COMMAND`: the lake's commands, run in the dbt environment."""

from __future__ import annotations

import os
import sys

import click

from include.settings import Settings, UserError


@click.group(help=__doc__)
@click.pass_context
def lake(context: click.Context) -> None:
    context.obj = Settings.from_env(os.environ)


def main() -> int:
    """Run one command; what a user can cause is one sentence on stderr and exit code 1."""
    try:
        lake.main(standalone_mode=False)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("stopped; nothing is half done.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
