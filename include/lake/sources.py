"""The sources that the dbt project declares, and which files of the lake belong to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from include.manifest import Manifest

TEXT_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
ENDINGS = (".parquet", *TEXT_ENDINGS, *(f"{ending}.gz" for ending in TEXT_ENDINGS))
"""The endings of the files that a parsed source may have, in any letter case."""

LEDGER_ROWS = "ledger_rows"
"""The folder of the lake with the parsed rows of ledger and costs."""
ROW_COLUMNS = {
    "file_name": "varchar(1024)",
    "line_number": "bigint",
    "problem": "varchar(1024)",
    "raw_row": "varchar(4000)",
}
"""The columns that parsing adds to those of a file. Only a bad row has a problem and a raw row."""


@dataclass(frozen=True)
class Source:
    """A source of the dbt project: a folder of the lake.

    `partition_columns` is empty for a source without partitions, else `(date,)` or
    `(year, month, day)`. `columns` maps the declared columns, including the partition columns, to
    their types. `optional` names the columns that a file of a parsed source may lack. `key` names
    the columns that tell its rows apart, if it has no partitions. A run stops if all files, most of
    these keys, or most days or rows of a source with partitions are lost, unless the source
    `can_be_empty`.
    """

    unique_id: str
    name: str
    partition_columns: tuple[str, ...]
    columns: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()
    can_be_empty: bool = False

    @property
    def is_parsed(self) -> bool:
        """Whether the first step of a run parses the files, as it does for ledger and costs.

        The tables of a parsed source read the Parquet files of `rows_folder`. Events are Parquet
        files that are read in place.
        """
        return self.partition_columns != ("year", "month", "day")

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of this source's data files."""
        return ENDINGS if self.is_parsed else (".parquet",)

    def rows_folder(self, schema_prefix: str) -> str:
        """The path, below the lake, of the folder that the external table of this source reads.

        Each schema prefix has its own folder of parsed rows, because a run with another prefix may
        replace files while this one reads them. Two warehouses on one lake need a prefix each.
        """
        if not self.is_parsed:
            return self.name
        own = [f"prefix={schema_prefix}"] if schema_prefix else []
        return "/".join([LEDGER_ROWS, *own, self.name])

    @property
    def parsed_columns(self) -> dict[str, bool]:
        """The columns that are read from raw files, and whether each file must have them."""
        return {
            name: name not in self.optional for name in self.file_columns if name not in ROW_COLUMNS
        }

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
        (_source(unique_id, source) for unique_id, source in declared.items()),
        key=lambda source: source.name,
    )


def _source(unique_id: str, declared: Mapping[str, Any]) -> Source:
    """A source by its entry in the manifest. A parsed source gets the columns of `ROW_COLUMNS`."""
    columns = {name: column["data_type"] for name, column in declared["columns"].items()}
    source = Source(
        unique_id=unique_id,
        name=declared["name"],
        partition_columns=tuple(declared["config"]["meta"]["partition_columns"]),
        columns=columns,
        optional=frozenset(
            name
            for name, column in declared["columns"].items()
            if column.get("config", {}).get("meta", {}).get("optional")
        ),
        key=tuple(declared["config"]["meta"].get("key", ())),
        can_be_empty=bool(declared["config"]["meta"].get("can_be_empty")),
    )
    return replace(source, columns=columns | ROW_COLUMNS) if source.is_parsed else source


def data_ending(name: str, endings: Iterable[str]) -> str | None:
    """The ending by which a file is a data file, or None if it is not one."""
    return next((ending for ending in endings if name.lower().endswith(ending)), None)
