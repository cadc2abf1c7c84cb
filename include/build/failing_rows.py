"""The rows that a failed test found, few and without personal data (dbt's environment).

`python -m include.build.failing_rows` reads `[{"unique_id", "sql"}]` from its standard input and
prints `{unique_id: rows}`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from include.manifest import Manifest, dbt_arguments
from include.settings import Settings

LIMIT = 10
LENGTH = 200
MASKED = "***"
GENERIC = {"unique_field", "value_field", "from_field"}
"""What dbt's generic tests call the column that they test."""
LEDGER_KEYS = {"playerid", "channeluid", "birthdate", "birth_date", "device", "player"}
"""Personal columns of tables, beside the keys of events that the macro `personal_keys` lists."""


def shown_rows(
    columns: Iterable[str],
    rows: Iterable[Iterable[Any]],
    node: Mapping[str, Any],
    personal: Iterable[str],
) -> list[dict[str, str | None]]:
    """The first rows as text, by column; what can identify a person is masked.

    JSON text is masked whole: any key of it may be personal.
    """
    names = [column.lower() for column in columns]
    hidden = LEDGER_KEYS.union(personal)
    tested = str((node.get("test_metadata") or {}).get("kwargs", {}).get("column_name", "")).lower()
    # An expression over a personal column tells as much.
    if any(name in tested for name in hidden):
        hidden |= GENERIC
    return [
        {name: _shown(value, masked=name in hidden) for name, value in zip(names, row, strict=True)}
        for row, _ in zip(rows, range(LIMIT), strict=False)
    ]


def _shown(value: Any, *, masked: bool) -> str | None:
    if value is None:
        return None
    text = str(value)
    return MASKED if masked or text.lstrip()[:1] in {"{", "["} else text[:LENGTH]


def fetch(adapter: Any, sql: str, node: Mapping[str, Any]) -> list[dict[str, str | None]]:
    """Run a test's SQL once more through dbt's adapter; raises what the adapter raises."""
    with adapter.connection_named("failing_rows"):
        personal = adapter.execute_macro("personal_keys")
        _, table = adapter.execute(sql, fetch=True, limit=LIMIT)
    return shown_rows(table.column_names, (row.values() for row in table.rows), node, personal)


def main() -> int:
    """Print the rows of each test; those that cannot be had are left out, with the reason."""
    from dbt.adapters.factory import get_adapter_by_type
    from dbt.cli.main import dbtRunner

    settings = Settings.from_env(os.environ)
    manifest = Manifest.read()
    # Any command that runs SQL makes the adapter ready, with the macros that `fetch` needs.
    show = ["--quiet", "show", "--inline", "select 1 as one", "--no-write-json"]
    with tempfile.TemporaryDirectory() as target:
        dbtRunner().invoke([*show, *dbt_arguments(settings, Path(target))])
    found = {}
    for test in json.load(sys.stdin):
        try:
            # dbt's factory has no annotations.
            adapter = get_adapter_by_type(settings.adapter)  # type: ignore[no-untyped-call]
            found[test["unique_id"]] = fetch(
                adapter, test["sql"], manifest.nodes[test["unique_id"]]
            )
        except Exception as error:  # noqa: BLE001
            # Whatever a warehouse raises: the test has failed, with or without its rows.
            print(f"no rows of {test['unique_id']}: {error}", file=sys.stderr)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
