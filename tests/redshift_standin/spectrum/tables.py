"""The definition of an external table: its columns, its format, and the location of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from tests.redshift_standin.column_types import column_type
from tests.redshift_standin.sql_text import quoted


class FileFormat(Enum):
    """A file format of external tables, with the names of Hive's classes for it."""

    PARQUET = (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    )
    CSV = ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.serde2.OpenCSVSerde")
    JSON = ("org.apache.hadoop.mapred.TextInputFormat", "org.openx.data.jsonserde.JsonSerDe")

    @property
    def input_format(self) -> str:
        return self.value[0]

    @property
    def serde(self) -> str:
        return self.value[1]


@dataclass(frozen=True)
class Column:
    """A column, with its type as the DDL has it."""

    name: str
    type: str

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "type": self.type}

    @property
    def postgres_type(self) -> str:
        return column_type(self.type)

    @property
    def kind(self) -> str:
        """The type without its length. Synonyms give the same kind."""
        base = re.sub(r"\s*\(.*", "", self.postgres_type.lower())
        return {
            "int2": "smallint",
            "int4": "integer",
            "int": "integer",
            "int8": "bigint",
            "numeric": "decimal",
            "float4": "real",
            "float8": "double precision",
            "float": "double precision",
            "bool": "boolean",
            "character varying": "varchar",
            "text": "varchar",
            "character": "char",
            "bpchar": "char",
        }.get(base, base)

    @property
    def byte_count(self) -> int | None:
        """The largest number of bytes of a value, or None if the type has no length."""
        if self.kind not in ("varchar", "char", "varbyte"):
            return None
        length = re.search(r"\(\s*(\d+|max)\s*\)", self.type)
        if length is None:
            return {"varchar": 256, "char": 1, "varbyte": 64000}[self.kind]
        return {"varbyte": 1024000}.get(self.kind, 65535) if length[1] == "max" else int(length[1])


@dataclass(frozen=True)
class ExternalTable:
    """The definition of an external table. `root` is the PostgreSQL table that holds its rows."""

    id: int
    schema: str
    name: str
    location: str
    format: FileFormat
    serde_properties: dict[str, str]
    properties: dict[str, str]
    columns: list[Column]
    partition_columns: list[Column]

    @property
    def root(self) -> str:
        return f"e{self.id}"

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def views(self) -> tuple[str, str]:
        """The quoted names of two views: the table itself, and the table with pseudo-columns."""
        schema = quoted(self.schema)
        return f"{schema}.{quoted(self.name)}", f"{schema}.{quoted(self.name + '$')}"
