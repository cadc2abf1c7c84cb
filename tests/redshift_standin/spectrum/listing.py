"""Lists the objects on S3 under the locations of tables and partitions, as Spectrum does."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tests.redshift_standin.refusals import Refused, scan_error

HIDDEN = re.compile(r"^[._#]|~$")


@dataclass(frozen=True)
class Object:
    key: str
    etag: str
    size: int


def list_objects(s3: Any, locations: set[str]) -> dict[str, list[Object]]:
    """Return the objects under each location.

    If more than 8 locations are in one bucket, the folder that they share is listed once.
    """
    found: dict[str, list[Object]] = {location: [] for location in locations}
    by_bucket: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for location in locations:
        bucket, prefix = prefix_of(location)
        by_bucket[bucket][prefix].append(location)
    for bucket, prefixes in by_bucket.items():
        starts = [_common_folder(sorted(prefixes))] if len(prefixes) > 8 else list(prefixes)
        for start in starts:
            for item in _objects(s3, bucket, start):
                folders = _folders_of(item.key) if len(prefixes) > 8 else [start]
                for prefix in folders:
                    if prefix in prefixes and _is_visible(item.key[len(prefix) :]):
                        for location in prefixes[prefix]:
                            found[location].append(item)
    return found


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[Object]:
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                # The marker of a folder and an empty file hold no rows.
                if item["Size"] and not item["Key"].endswith("/"):
                    yield Object(item["Key"], item["ETag"], item["Size"])
    except ClientError as error:
        raise service_error(error) from None


def service_error(error: ClientError) -> Refused:
    """Return the error of a query to which S3 answers with an error."""
    code, message = error.response["Error"].get("Code"), error.response["Error"].get("Message")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return scan_error(15001, f"S3ServiceException:{message},Status {status},Error {code}")


def _is_visible(path: str) -> bool:
    return not any(HIDDEN.search(part) for part in path.split("/") if part)


def _folders_of(key: str) -> list[str]:
    return [key[: match.end()] for match in re.finditer("/", key)]


def prefix_of(location: str) -> tuple[str, str]:
    """Return bucket and prefix of a location. The last slash is added if it is missing.

    Other slashes stay as they are, so `a//b` is another folder than `a/b`.
    """
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return bucket, prefix if not prefix or prefix.endswith("/") else prefix + "/"


def uri_of(location: str, key: str) -> str:
    return f"s3://{prefix_of(location)[0]}/{key}"


def _common_folder(prefixes: list[str]) -> str:
    first, last = prefixes[0], prefixes[-1]
    length = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[: first.rfind("/", 0, length) + 1]
