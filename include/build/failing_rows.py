"""The rows that a failed test found: only some of them, without personal data.

`python -m include.build.failing_rows` runs in dbt's environment. It reads a `FailingRowsRequest`
from its standard input and prints a `FailingRows`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from include.manifest import Manifest, dbt_arguments
from include.messages import FailingRows, FailingRowsRequest, Row, from_json, to_json
from include.settings import Settings

LIMIT = 10
"""The number of rows that are shown."""
LENGTH = 200
"""The number of characters that are shown of a value."""
MASKED = "***"
"""The text that is shown instead of a personal value."""
GENERIC = {"unique_field", "value_field", "from_field"}
"""The names that dbt's generic tests give to the column that they test."""
LEDGER_KEYS = {
    *("playerid", "channeluid", "channel_id", "birthdate", "birth_date", "gender"),
    *("device", "player"),
}
"""Personal columns of tables. The macro `personal_keys` lists the personal keys of events."""
WHOLE_ROWS = {"payload", "raw_row"}
"""Columns with a whole line of a file, in any format: each of its fields may be personal."""


def shown_rows(
    columns: Iterable[str],
    rows: Iterable[Iterable[Any]],
    node: Mapping[str, Any],
    personal: Iterable[str],
) -> tuple[Row, ...]:
    """Return the first rows as text by column; values that can identify a person are masked.

    JSON text is masked as a whole, because each of its keys may be personal.
    """
    names = [column.lower() for column in columns]
    hidden = LEDGER_KEYS | WHOLE_ROWS | set(personal)
    tested = str((node.get("test_metadata") or {}).get("kwargs", {}).get("column_name", "")).lower()
    # An expression over a personal column can show the person, too.
    if any(name in tested for name in hidden):
        hidden |= GENERIC
    return tuple(
        {
            name: _shown(value, masked=_is_hidden(name, hidden))
            for name, value in zip(names, row, strict=True)
        }
        for row, _ in zip(rows, range(LIMIT), strict=False)
    )


def _is_hidden(column: str, hidden: Collection[str]) -> bool:
    """Whether a column is personal, also as `first_player_id` or `player_id_count`."""
    return column in hidden or any(key in column for key in hidden if "_" in key)


def _shown(value: Any, *, masked: bool) -> str | None:
    if value is None:
        return None
    text = str(value)
    return MASKED if masked or text.lstrip()[:1] in {"{", "["} else text[:LENGTH]


def fetch(adapter: Any, sql: str, node: Mapping[str, Any]) -> tuple[Row, ...]:
    """Run a test's SQL again through dbt's adapter; raises the errors of the adapter."""
    with adapter.connection_named("failing_rows"):
        personal = adapter.execute_macro("personal_keys")
        _, table = adapter.execute(sql, fetch=True, limit=LIMIT)
    return shown_rows(table.column_names, (row.values() for row in table.rows), node, personal)


def main() -> int:
    """Print the rows of each test; for rows that cannot be fetched, print the reason on stderr."""
    from dbt.adapters.factory import get_adapter_by_type
    from dbt.cli.main import dbtRunner

    settings = Settings.from_env(os.environ)
    manifest = Manifest.read()
    # Any dbt command that runs SQL sets up the adapter with the macros that `fetch` needs.
    show = ["--quiet", "show", "--inline", "select 1 as one", "--no-write-json"]
    with tempfile.TemporaryDirectory() as target:
        dbtRunner().invoke([*show, *dbt_arguments(settings, Path(target))])
    found: dict[str, tuple[Row, ...]] = {}
    for test in from_json(sys.stdin.read(), FailingRowsRequest).tests:
        try:
            # dbt's factory has no annotations.
            adapter = get_adapter_by_type(settings.adapter)  # type: ignore[no-untyped-call]
            found[test.unique_id] = fetch(adapter, test.sql, manifest.nodes[test.unique_id])
        except Exception as error:  # noqa: BLE001
            # The test has failed and is reported, whatever error the warehouse raises here.
            print(f"no rows of {test.unique_id}: {error}", file=sys.stderr)
    print(to_json(FailingRows(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
