"""`make build`: only a build of everything is recorded."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("psutil", reason="runs in Airflow's environment")

from include.laptop import build
from include.manifest import Manifest

NODES = {name: {"resource_type": name.split(".")[0]} for name in ("model.p.a", "seed.p.b")}


@pytest.mark.parametrize(
    ("statuses", "arguments", "missing"),
    [
        ({"model.p.a": "success", "seed.p.b": "success", "test.p.c": "pass"}, {}, 0),
        ({"model.p.a": "success"}, {}, 1),
        ({"model.p.a": "success", "seed.p.b": "skipped"}, {}, 1),
        ({"model.p.a": "success", "seed.p.b": "success"}, {"empty": True}, 2),
        ({"model.p.a": "success", "seed.p.b": "success"}, {"sample": "1 day"}, 2),
    ],
)
def test_not_built(
    statuses: dict[str, str],
    arguments: dict[str, Any],
    missing: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = [{"unique_id": name, "status": status} for name, status in statuses.items()]
    monkeypatch.setattr(Manifest, "read", classmethod(lambda cls: cls({"nodes": NODES})))
    assert build.not_built({"results": results, "args": arguments}) == missing
