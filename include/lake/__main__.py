"""`python -m include.lake COMMAND` runs a command of the lake in the dbt environment."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import click

from include.command import command
from include.settings import Settings, UserError

CATALOG_SECONDS = 300
"""How long recording waits for dbt's end. The catalog of 1,000 models takes less than a minute."""


@click.group(help=__doc__)
@click.pass_context
def lake(context: click.Context) -> None:
    context.obj = Settings.from_env(os.environ)


class ArrivalTime(click.ParamType[int]):
    """Epoch seconds, or an ISO 8601 time in UTC."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        try:
            if re.fullmatch("[0-9]{1,12}", text):
                seconds = int(text)
            else:
                moment = datetime.fromisoformat(text)
                seconds = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
        except (ValueError, OverflowError):
            seconds = 0
        if not 0 < seconds < 253_402_300_800:
            self.fail(
                f"{text!r} is no time: write epoch seconds or a time such as 2026-09-01T04:30:00Z.",
                param,
                ctx,
            )
        return seconds


@lake.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--arrived-at", type=ArrivalTime(), help="The time of arrival, in UTC; default: now.")
@click.pass_obj
def land(settings: Settings, files: tuple[str, ...], arrived_at: int | None) -> None:
    """Land event files.

    FILES are files of JSON lines, plain or gzip, folders with such files, or standard input (-).
    """
    from include.lake.landing.landing import land_files

    earliest = date.fromisoformat(settings.earliest_date)
    land_files(_folder(settings), files, arrived_at, earliest=earliest)


@lake.command()
@click.option(
    "--days", type=click.IntRange(1, 3650), required=True, help="Number of days with events."
)
@click.option(
    "--players", type=click.IntRange(1, 1_000_000), required=True, help="Number of players."
)
@click.option("--seed", type=int, required=True, help="Two runs with one seed make equal data.")
@click.option("--end", type=click.DateTime(["%Y-%m-%d"]), help="Last day; default: yesterday, UTC.")
@click.option("--missing-rate", is_flag=True, help="Leave out the rates of one currency.")
@click.pass_obj
def generate(
    settings: Settings,
    days: int,
    players: int,
    seed: int,
    end: datetime | None,
    missing_rate: bool,
) -> None:
    """Write reproducible sample data into the lake: events, bets and costs."""
    from include.lake.sample.sample import Sample, write_sample, yesterday

    last = end.date() if end else yesterday()
    write_sample(_folder(settings), Sample(days, players, seed, last, missing_rate))


@lake.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day to build.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day to build.")
@click.option("--full-refresh", is_flag=True, help="The build will be a full refresh.")
@click.option("--allow-lost-rows", is_flag=True, help="Go on although a source lost its rows.")
@click.option("--run-id", default="", help="Id of the run; give it to record, too.")
@click.pass_obj
def partitions(
    settings: Settings,
    first: datetime | None,
    last: datetime | None,
    full_refresh: bool,
    allow_lost_rows: bool,
    run_id: str,
) -> None:
    """Find a run's days, and create the external tables.

    The days are those whose files changed since the last build, or those from --from to --to.
    """
    from include.lake.landing.landing_zone import finish_landings
    from include.lake.run_days.find import find_run_days
    from include.manifest import Manifest
    from include.warehouse.database import open_database

    if (first is None) != (last is None):
        raise UserError("--from and --to go together: give both, or neither.")
    if first and last and first > last:
        raise UserError(f"--from {first.date()} is after --to {last.date()}: swap them.")
    dates = (first.date(), last.date()) if first and last else None
    if not settings.is_s3:
        finish_landings(Path(settings.lake))
    with open_database(settings) as database:
        print(
            find_run_days(
                database,
                settings,
                Manifest.read(),
                dates,
                run_id,
                full_refresh=full_refresh,
                allow_lost_rows=allow_lost_rows,
            )
        )


@lake.command()
@click.option("--full-refresh", is_flag=True, help="The build was a full refresh.")
@click.option("--run-id", default="", help="Id of the run, as it was given to partitions.")
@click.pass_obj
def record(settings: Settings, full_refresh: bool, run_id: str) -> None:
    """Record that the days of a run are built.

    Run this only after a build in which every node succeeded.
    """
    from include.lake.run_days.record import record_build
    from include.manifest import Manifest
    from include.warehouse.database import open_database

    # After its last node, dbt may still write the catalog, and has the DuckDB file open.
    with open_database(settings, timeout_seconds=CATALOG_SECONDS) as database:
        count = record_build(
            database, settings, Manifest.read(), full_refresh=full_refresh, run_id=run_id
        )
    print(f"recorded {count} partition{'s' if count != 1 else ''} as built")


@lake.command()
@click.option("--run-id", default="", help="Id of the run, to write dbt's results into DOCS.")
@click.pass_obj
def freshness(settings: Settings, run_id: str) -> None:
    """Print the sources that are stale, as JSON."""
    from include.lake.run_days.freshness import reported_stale_sources
    from include.manifest import Manifest
    from include.messages import StaleSources, to_json

    stale = reported_stale_sources(settings, Manifest.read(), run_id)
    print(to_json(StaleSources(tuple(stale))))


@lake.command()
@click.option("--source", required=True, help="Name of the source, such as raw_events.")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day; default: all.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day; default: all.")
@click.pass_obj
def compact(settings: Settings, source: str, first: datetime | None, last: datetime | None) -> None:
    """Merge small files of a source of events into few Parquet files.

    Files of other types than declared are converted. Run this while no build runs. The merged files
    are moved below _compacted.
    """
    from include.lake.compaction.compact import compact_source
    from include.lake.storage import open_lake
    from include.manifest import Manifest

    compact_source(
        open_lake(settings),
        Manifest.read(),
        source,
        first.date() if first else None,
        last.date() if last else None,
    )


def _folder(settings: Settings) -> Path:
    """The folder of the lake. Raises UserError if the lake is in S3."""
    if settings.is_s3:
        raise UserError(
            f"landing writes into a folder, and the lake is {settings.lake}: set "
            "GAME_ANALYTICS_TARGET to local and GAME_ANALYTICS_LAKE to a folder, land there, "
            "and copy the folder with `aws s3 sync --exclude '_*' --exclude 'ledger_rows/*' FOLDER "
            f"{settings.lake}`."
        )
    return Path(settings.lake)


@command
def main() -> int:
    """Run the command of the command line."""
    try:
        lake.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        if "compact" in sys.argv:
            remedy = "run it again before the next build"
        else:
            remedy = "nothing is half done"
        print(f"stopped; {remedy}.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
