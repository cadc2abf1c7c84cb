"""The names of tables, folders and jobs, by OpenLineage's naming conventions (`spec/Naming.md`).

The namespace of a table is the one that openlineage-dbt gives it for DuckDB, and Airflow's provider
for Redshift, so that the events of several tools meet at the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from include.settings import Settings

KINDS = {"model": "run", "snapshot": "snapshot", "seed": "seed"}
"""The last part of a job's name, by the type of its node, as in openlineage-dbt."""


class DatasetName(NamedTuple):
    """The name of a table or a folder, which is unique within its namespace."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Names:
    """`warehouse` and `lake` are namespaces. `folder` is the path of the lake in its namespace."""

    warehouse: str
    database: str
    lake: str
    folder: str

    def table(self, node: Mapping[str, Any]) -> DatasetName:
        """The table of a node, or the external table of a source."""
        table = node.get("identifier") or node.get("alias") or node["name"]
        return DatasetName(self.warehouse, f"{self.database}.{node['schema']}.{table}")

    def source(self, source: Mapping[str, Any]) -> DatasetName:
        """The folder of the lake with the files of a source."""
        path = f"{self.folder}/{source['name']}" if self.folder else source["name"]
        return DatasetName(self.lake, path)

    def job(self, node: Mapping[str, Any]) -> str:
        """The name of the job that builds a node."""
        return f"{self._prefix(node)}.build.{KINDS[node['resource_type']]}"

    def test_job(self, node: Mapping[str, Any]) -> str:
        """The name of the job that tests a node or a source."""
        return f"{self._prefix(node)}.build.test"

    def _prefix(self, node: Mapping[str, Any]) -> str:
        name = node["unique_id"].split(".", 1)[1]
        return f"{self.database}.{node['schema']}.{name}"


def names(settings: Settings, environ: Mapping[str, str]) -> Names:
    """The names for the settings; `environ` has the variables `REDSHIFT_*` of dbt's profile."""
    if settings.is_s3:
        lake = urlsplit(settings.lake)
        place = f"s3://{lake.netloc}", lake.path.strip("/")
    else:
        place = "file", settings.lake
    if settings.target == "local":
        path = settings.duckdb_path
        return Names(f"duckdb://{path}", path.stem, *place)
    cluster = cluster_of(environ)
    port = environ.get("REDSHIFT_PORT") or "5439"
    return Names(f"redshift://{cluster}:{port}", environ.get("REDSHIFT_DBNAME", ""), *place)


def cluster_of(environ: Mapping[str, str]) -> str:
    """`<cluster or workgroup>.<region>`, or the host if it is none of AWS's."""
    host = environ.get("REDSHIFT_HOST", "")
    parts = host.split(".")
    # <cluster>.<hash>.<region>.redshift.amazonaws.com, and for a workgroup
    # <workgroup>.<account>.<region>.redshift-serverless.amazonaws.com
    if len(parts) >= 6 and parts[3].startswith("redshift") and "amazonaws" in parts:
        return f"{parts[0]}.{parts[2]}"
    if not host and environ.get("REDSHIFT_CLUSTER_ID"):
        return f"{environ['REDSHIFT_CLUSTER_ID']}.{environ.get('REDSHIFT_REGION', '')}"
    return host
