"""The guard against a source that lost its rows, as after a failed export or a failed sync.

The snapshot would close every player who is missing, and no later build could repair its history.
The guard therefore stops a run in its first step, before any node is built. It looks for three
losses since the last successful build:

- a source with files has none in the whole lake;
- a source without partitions has lost more than half of its keys (`config.meta.key` of its YAML);
- a source with partitions has lost more than half of its days, apart from expired days.

It also stops a run in which most changed days of a parsed source have lost all their rows, because
a failed export can leave files with nothing but a header. Keys and rows are counted in the parsed
files before they replace those of the lake (`RowCheck`).

The meta `can_be_empty` of a source leaves it out.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.engine_text import without_values
from include.lake.external_tables.duckdb import readers
from include.lake.ledger_rows.refresh import PartitionRows
from include.lake.listing import Listing, Partition
from include.lake.run_days.tables import operations_schema
from include.lake.sources import Source
from include.lake.storage.lake import THREADS, DataFile, Lake
from include.settings import Settings, UserError
from include.warehouse.database import Database
from include.warehouse.duckdb_file import limit_memory

NAMED_DAYS = 5
"""How many days without rows a warning names."""


@dataclass(frozen=True)
class LostRows:
    """How many things of a kind a source had at the last build, and has now.

    `kind` is `file`, `day`, `key` or `changed day with rows`.
    """

    source: str
    kind: str
    before: int
    now: int

    def __str__(self) -> str:
        kind = self.kind if self.before == 1 else re.sub(r"(file|day|key)", r"\1s", self.kind)
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
    """The partitioned sources that have less than half as many days as were built.

    `touched` and `kept` are the days by source that have changed, and that must stay as they are.
    New days count, because a file may have been moved to its right day.
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
        listed = {day for name, day in listing.files if name == source.name}
        now = len((before - gone) | listed)
        if 2 * now < len(before):
            lost.append(LostRows(source.name, "day", len(before), now))
    return lost


def built_keys(database: Database, settings: Settings) -> dict[str, int]:
    """The number of keys of each counted source as of the last successful build."""
    schema = operations_schema(settings)
    return dict(database.rows(f"select source, key_count from {schema}.built_sources"))


def sources_without_keys(
    declared: Iterable[Source], before: Mapping[str, int], now: Mapping[str, int]
) -> list[LostRows]:
    """The sources that have lost more than half of the keys of the last successful build."""
    return [
        LostRows(source.name, "key", before[source.name], now[source.name])
        for source in declared
        if source.name in now
        and not source.can_be_empty
        and 2 * now[source.name] < before.get(source.name, 0)
    ]


@dataclass
class RowCheck:
    """Compares the rows of all listed partitions with those of the last run and the last build.

    It is called before any parsed file replaces another one. `known` are the numbers of keys of the
    last successful build, and `changed` the sources without partitions whose files have changed
    since. A call writes the numbers of keys to `keys`, and to `warnings` the days that lost their
    rows. It raises UserError for a source that lost most of them, unless `allow_lost_rows`.
    """

    lake: Lake
    settings: Settings
    declared: Sequence[Source]
    built: Sequence[Partition]
    changed: set[str]
    known: Mapping[str, int]
    allow_lost_rows: bool
    keys: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __call__(self, rows: Sequence[PartitionRows]) -> None:
        """Check the rows."""
        files = {one.source.name: one.file for one in rows if not one.day}
        self.keys |= count_keys(
            self.lake, self.settings, self.declared, files, self.changed, self.known
        )
        lost = sources_without_keys(self.declared, self.known, self.keys)
        for source in self.declared:
            if source.partition_columns and not source.can_be_empty:
                lost += self._lost_days(
                    source, [one for one in rows if one.source.name == source.name]
                )
        if not self.allow_lost_rows:
            refuse(lost)

    def _lost_days(self, source: Source, rows: Sequence[PartitionRows]) -> list[LostRows]:
        """A source of which more than half of the changed days with rows have none any more.

        One such day alone is a warning as long as another day of the source has rows, because a
        correction can empty a day.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            replaced = [one for one in rows if one.old]
            empty = {
                one.day
                for one, count in zip(replaced, pool.map(self._new_count, replaced), strict=True)
                if not count
            }
            # The footers in the lake are read only if there may be a loss.
            if not empty:
                return []
            counts = pool.map(self._old_count, replaced)
            before = {one.day for one, count in zip(replaced, counts, strict=True) if count}
        lost = before & empty
        others = [one for one in rows if one.day not in lost]
        is_one_of_many = len(lost) == 1 and (
            any(
                partition.source == source.name and partition.day not in {one.day for one in rows}
                for partition in self.built
            )
            or any(self._new_count(one) for one in others)
        )
        if 2 * len(lost) > len(before) and not is_one_of_many:
            kind = "changed day with rows"
            return [LostRows(source.name, kind, len(before), len(before) - len(lost))]
        if lost:
            more = len(lost) - NAMED_DAYS
            self.warnings.append(
                f"{source.name}: the files of {', '.join(sorted(lost)[:NAMED_DAYS])}"
                f"{f' and {more} more days' * (more > 0)} had rows in the last run and have none "
                "now: if an export failed, write these files again."
            )
        return []

    def _new_count(self, one: PartitionRows) -> int:
        """The number of good rows that a partition will have."""
        return good_rows(self.lake, one.file)

    def _old_count(self, one: PartitionRows) -> int:
        """The number of good rows in the files that are replaced."""
        return sum(good_rows(self.lake, file) for file in one.old)


def good_rows(lake: Lake, file: Path | DataFile) -> int:
    """The number of good rows of a Parquet file with parsed rows, from its footer.

    A file of the lake that is damaged or gone has none. Good rows are those without a problem.
    """
    try:
        with file.open("rb") if isinstance(file, Path) else lake.footer(file) as end:
            metadata = pq.read_metadata(end)
    except (pa.ArrowException, OSError):
        return 0
    column = metadata.schema.names.index("problem")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # The parser always writes statistics.
    nulls = [group.column(column).statistics for group in groups]
    return sum(found.null_count or 0 for found in nulls if found)


def count_keys(
    lake: Lake,
    settings: Settings,
    declared: Iterable[Source],
    files: Mapping[str, Path | DataFile],
    changed: set[str],
    known: Mapping[str, int],
) -> dict[str, int]:
    """The number of keys of each source that declares a key.

    `files` are the Parquet files with the parsed rows by source. A source without files has no key.
    A row without the first column of the key is not counted; its other columns may be empty. A
    source that is not among the `changed` ones has the `known` number. Raises UserError for a
    file that cannot be counted.
    """
    counts = {}
    for source in declared:
        if not source.key:
            continue
        if source.name in known and source.name not in changed:
            counts[source.name] = known[source.name]
        elif source.name in files:
            counts[source.name] = _count(lake, settings, source, files[source.name])
        else:
            counts[source.name] = 0
    return counts


def _count(lake: Lake, settings: Settings, source: Source, file: Path | DataFile) -> int:
    """The number of keys in a Parquet file, which is copied to this machine if it is in S3."""
    first, *others = (f'trim("{column}")' for column in source.key)
    # The concatenation with a null is null, and such a row is not counted.
    key = f"nullif({first}, '')" + "".join(f" || ' ' || coalesce({o}, '')" for o in others)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        # The connection to the warehouse needs memory as well.
        limit_memory(connection, settings, read_only=True, folder=Path(folder))
        try:
            path = file if isinstance(file, Path) else lake.local_copy(file, Path(folder, "rows"))
            (reader,) = readers(source, [str(path)], hive=False)
            query = f"select count(distinct {key}) from {reader}"
            (count,) = connection.execute(query).fetchone() or (0,)
        except (duckdb.Error, OSError) as error:
            reason = without_values(str(error).splitlines()[0])
            parsed = f"{lake.root}/{source.rows_folder(settings.schema_prefix)}"
            raise UserError(
                f"the keys of {source.name} cannot be counted ({reason}): free memory and disk "
                f"space, or remove {parsed} if its file is damaged, and run again."
            ) from None
    return int(count)
