"""The guard against a source that lost its rows, as after a failed export or a failed sync.

The snapshot would close every player who is missing, and no later build could repair its history.
The guard therefore stops a run in its first step, before any node is built. It looks for three
losses since the last successful build:

- a source with files has none in the whole lake;
- a source without partitions has lost more than half of its keys (`config.meta.key` of its YAML);
- a source with partitions has lost more than half of its days, apart from expired days.

The meta `can_be_empty` of a source leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

from include.lake.listing import Listing, Partition
from include.lake.run_days.tables import operations_schema
from include.lake.sources import Source
from include.lake.storage.lake import Lake
from include.settings import Settings, UserError
from include.warehouse.database import Database


@dataclass(frozen=True)
class LostRows:
    """How many things of a `kind` (file, day, key) a source had at the last build, and has now."""

    source: str
    kind: str
    before: int
    now: int

    def __str__(self) -> str:
        kind = self.kind if self.before == 1 else f"{self.kind}s"
        return f"{self.source} had {self.before:,} {kind} and has {self.now:,}"


def refuse(lost: Iterable[LostRows]) -> None:
    """Raise UserError if there is a loss; it names the sources, the counts and the remedy."""
    if losses := "; ".join(map(str, lost)):
        raise UserError(
            f"sources lost rows since the last successful build: {losses}. Nothing was built, "
            "because a failed export or sync would end histories that no later build restores: "
            "check GAME_ANALYTICS_LAKE, put the files back and run again. If the rows are gone for "
            "good, allow it for one run: `allow_lost_rows` in the form of a manual run, the input "
            '{"allow_lost_rows": true} of an execution of the state machine, or '
            "`GAME_ANALYTICS_ALLOW_LOST_ROWS=1 make build`."
        )


def sources_without_files(
    lake: Lake,
    declared: Iterable[Source],
    listing: Listing,
    built: Iterable[Partition],
    kept: Mapping[str, set[str]],
    keys: Mapping[str, int],
    since: date | None,
) -> list[LostRows]:
    """The sources that had files at the last successful build and have none in the lake.

    The files of `kept` days and of days before `since` do not count, because they may have expired.
    `keys` are the numbers of keys at that build. A source that had files without any key may lose
    them. If the listing starts at `since`, the whole folder of a source without files is listed.
    """
    before: dict[str, int] = {}
    for partition in built:
        is_recent = not partition.day or partition.day >= str(since or "")
        if is_recent and partition.day not in kept.get(partition.source, ()):
            before[partition.source] = before.get(partition.source, 0) + partition.object_count
    listed = {partition.source for partition in listing.partitions}
    return [
        LostRows(source.name, "file", before[source.name], 0)
        for source in declared
        if before.get(source.name)
        and source.name not in listed
        and not source.can_be_empty
        and keys.get(source.name) != 0
        and not (since and source.partition_columns and any(True for _ in lake.files(source)))
    ]


def sources_without_days(
    declared: Iterable[Source],
    built: Iterable[Partition],
    touched: Mapping[str, set[str]],
    kept: Mapping[str, set[str]],
    listing: Listing,
) -> list[LostRows]:
    """The partitioned sources of which this run would remove more than half of the built days.

    `touched` and `kept` are the days by source that have changed, and that must stay as they are.
    """
    built_days: dict[str, set[str]] = {}
    for partition in built:
        built_days.setdefault(partition.source, set()).add(partition.day)
    lost = []
    for source in declared:
        if not source.partition_columns or source.can_be_empty:
            continue
        before = built_days.get(source.name, set())
        gone = {
            day
            for day in (before & touched[source.name]) - kept.get(source.name, set())
            if (source.name, day) not in listing.files
        }
        if 2 * len(gone) > len(before):
            lost.append(LostRows(source.name, "day", len(before), len(before) - len(gone)))
    return lost


def built_keys(database: Database, settings: Settings) -> dict[str, int]:
    """The number of keys of each counted source as of the last successful build."""
    schema = operations_schema(settings)
    return dict(database.rows(f"select source, key_count from {schema}.built_sources"))


def count_keys(
    database: Database,
    settings: Settings,
    declared: Iterable[Source],
    changed: set[str],
    known: Mapping[str, int],
) -> dict[str, int]:
    """The number of keys of each source that declares a key, by one query on its external table.

    A row without the first column of the key is not counted; its other columns may be empty. A
    source that is not among the `changed` ones has the `known` number. Raises UserError for
    a file that DuckDB cannot read.
    """
    counts = {}
    for source in declared:
        if not source.key:
            continue
        if source.name in known and source.name not in changed:
            counts[source.name] = known[source.name]
            continue
        first, *others = (f'trim("{column}")' for column in source.key)
        # The concatenation with a null is null, and such a row is not counted.
        key = f"nullif({first}, '')" + "".join(f" || ' ' || coalesce({o}, '')" for o in others)
        table = f"{settings.schema_prefix}spectrum.{source.name}"
        try:
            ((count,),) = database.rows(f"select count(distinct {key}) from {table}")
        except duckdb.Error as error:
            raise UserError(
                f"{settings.lake}/{source.name} has a file that cannot be read "
                f"({str(error).splitlines()[0]}): replace or remove that file."
            ) from None
        counts[source.name] = int(count)
    return counts


def sources_without_keys(before: Mapping[str, int], now: Mapping[str, int]) -> list[LostRows]:
    """The sources that have lost more than half of the keys of the last successful build."""
    return [
        LostRows(source, "key", before[source], count)
        for source, count in now.items()
        if 2 * count < before.get(source, 0)
    ]
