"""The sources that the dbt project declares, and which files of the lake belong to them."""

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
"""The endings of data files, and the format of each."""


@dataclass(frozen=True)
class Source:
    """A source of the dbt project: a folder of the lake.

    `partition_columns` is empty for a source without partitions, else `(date,)` or
    `(year, month, day)`. `columns` maps the declared columns, including the partition columns, to
    their types. `key` names the columns that tell its rows apart, if it has no partitions. A run
    stops if most of these keys are lost, or all files, unless the source `can_be_empty`.
    """

    unique_id: str
    name: str
    partition_columns: tuple[str, ...]
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()
    can_be_empty: bool = False

    @property
    def formats(self) -> dict[str, str]:
        """The endings of this source's data files: events are Parquet, other files may be any."""
        if len(self.partition_columns) == 3:
            return {".parquet": "parquet"}
        return FORMATS

    @property
    def file_columns(self) -> dict[str, str]:
        """The columns that the files contain, and not the names of their folders."""
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
        """The folder of a day below the source's folder, such as `year=2026/month=09/day=01`."""
        return "/".join(f"{name}={value}" for name, value in self.partition_values(day).items())


def sources(manifest: Manifest) -> list[Source]:
    """The sources that the dbt project declares, sorted by name."""
    declared = manifest.content["sources"]
    return sorted(
        (
            Source(
                unique_id=unique_id,
                name=source["name"],
                partition_columns=tuple(source["config"]["meta"]["partition_columns"]),
                columns={name: column["data_type"] for name, column in source["columns"].items()},
                key=tuple(source["config"]["meta"].get("key", ())),
                can_be_empty=bool(source["config"]["meta"].get("can_be_empty")),
            )
            for unique_id, source in declared.items()
        ),
        key=lambda source: source.name,
    )


def data_ending(name: str, formats: Iterable[str] = FORMATS) -> str | None:
    """The ending by which a file is a data file, or None if it is not one."""
    return next((ending for ending in formats if name.endswith(ending)), None)
