"""The sources that the dbt project declares, and which files of the lake are theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from include.manifest import Manifest

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".jsonl.gz": "json",
}
"""The endings of the files that are read, and the format of each."""


@dataclass(frozen=True)
class Source:
    """A source of the dbt project: a folder of the lake.

    `partition_columns` is empty (one folder), `[date]`, or `[year, month, day]`; `columns` maps the
    declared columns, partition columns included, to their types.
    """

    unique_id: str
    name: str
    partition_columns: tuple[str, ...]
    columns: Mapping[str, str]

    @property
    def formats(self) -> dict[str, str]:
        """The endings that count here: events are Parquet, everything else may be any format."""
        if len(self.partition_columns) == 3:
            return {".parquet": "parquet"}
        return FORMATS

    @property
    def file_columns(self) -> dict[str, str]:
        """The columns that lie in the files; the others are the names of folders."""
        return {
            name: declared
            for name, declared in self.columns.items()
            if name not in self.partition_columns
        }

    def partition_values(self, day: str) -> dict[str, str]:
        """The partition columns of a day (an ISO date), as its folders name them."""
        parts = day.split("-") if len(self.partition_columns) > 1 else [day]
        return dict(zip(self.partition_columns, parts, strict=True))

    def partition_folder(self, day: str) -> str:
        """The folder of a day below the source's own, `year=2026/month=09/day=01` say."""
        return "/".join(f"{name}={value}" for name, value in self.partition_values(day).items())


def sources(manifest: Manifest) -> list[Source]:
    """The sources that the dbt project declares, by name."""
    declared = manifest.content["sources"]
    return sorted(
        (
            Source(
                unique_id=unique_id,
                name=source["name"],
                partition_columns=tuple(source["config"]["meta"]["partition_columns"]),
                columns={name: column["data_type"] for name, column in source["columns"].items()},
            )
            for unique_id, source in declared.items()
        ),
        key=lambda source: source.name,
    )


def data_ending(name: str, formats: Iterable[str] = FORMATS) -> str | None:
    """The ending that makes a file a data file, or None if it is none."""
    return next((ending for ending in formats if name.endswith(ending)), None)
