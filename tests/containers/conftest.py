"""These tests run once: of the two environments that could, in dbt's."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("airflow") is None else ["test_*.py"]
