"""dbt's environment, and Airflow's for `make run`: the files of a lake, in a folder or in S3.

| file | does |
|---|---|
| `lake.py` | declares what the package can do with a lake |
| `folder.py` | lists, reads and writes the files of a folder of this machine |
| `s3.py` | lists, reads and writes the objects below an S3 prefix |
| `file_lock.py` | a lock between the processes of one machine |
"""

from __future__ import annotations

from pathlib import Path

from include.lake.storage.folder import FolderLake
from include.lake.storage.lake import Lake
from include.lake.storage.s3 import S3Lake
from include.settings import Settings


def open_lake(settings: Settings) -> Lake:
    """The lake of the settings. This neither reads the folder nor sends a request to S3."""
    if settings.is_s3:
        return S3Lake(settings.lake, settings.lake_owner)
    return FolderLake(Path(settings.lake))
