"""Both environments could run these tests, so only dbt's environment collects them."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("airflow") is None else ["test_*.py"]
