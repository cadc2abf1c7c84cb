"""Compare the results of a real cluster with the documented ones.

The command is `python -m tests.redshift_standin.conformance [NAME ...]`. Without names it runs all
entries. It connects with the variables REDSHIFT_* of dbt/profiles.yml. Entries that need external
tables run only if CONFORMANCE_S3, a prefix below which files are written, and
GAME_ANALYTICS_SPECTRUM_ROLE are set.

Every difference is printed as one line. The exit code is 0 if there is no difference, 1 if there
are differences, and 2 if nothing could be run.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping

from tests.redshift_standin.conformance import Entry, entries
from tests.redshift_standin.conformance.scratch import (
    Lake,
    LostSession,
    arguments,
    connector,
    scratch,
)


def lake_of(environ: Mapping[str, str]) -> Lake | None:
    uri = environ.get("CONFORMANCE_S3", "")
    role = environ.get("GAME_ANALYTICS_SPECTRUM_ROLE", "")
    if not uri or not role:
        return None
    if not uri.startswith("s3://"):
        raise ValueError(f"CONFORMANCE_S3 must be an s3:// prefix, not {uri}")
    import boto3

    return Lake(uri, role, boto3.client("s3"))


def chosen(names: list[str]) -> list[Entry]:
    """Return the entries with these names, or all without names.

    Raises ValueError for a name that no entry has.
    """
    known = entries()
    if unknown := sorted(set(names) - {entry.name for entry in known}):
        raise ValueError(f"no entry has the name {', '.join(unknown)}")
    return [entry for entry in known if not names or entry.name in names]


def main(names: list[str], environ: Mapping[str, str]) -> int:
    try:
        wanted, lake, connect = chosen(names), lake_of(environ), connector(arguments(environ))
    except KeyError as missing:
        print(f"The environment variable {missing.args[0]} is not set.", file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    differ = 0
    not_run: Counter[str] = Counter()
    prefix = environ.get("GAME_ANALYTICS_SCHEMA_PREFIX", "")
    try:
        with scratch(connect, lake, prefix) as place:
            for entry in wanted:
                if entry.needs not in place.offers:
                    not_run[f"{entry.needs}: {place.lacks[entry.needs]}"] += 1
                elif difference := place.run(entry):
                    differ += 1
                    print(f"{entry.name}: {' '.join(difference.split())}", flush=True)
    except (LostSession, PermissionError) as reason:
        print(f"Nothing was run: {reason}", file=sys.stderr)
        return 2
    run = len(wanted) - not_run.total()
    print(f"{run - differ} as documented, {differ} different, {not_run.total()} not run")
    for need, count in not_run.items():
        print(f"    {count} not run because they need {need}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
