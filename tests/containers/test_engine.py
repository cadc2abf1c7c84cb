"""The engine of the tests uses only the podman storage of its own checkout."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.support import engine as module
from tests.support.engine import Engine


def test_the_storage_of_another_checkout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def podman(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, "/other/checkout/.venv/containers/storage\n", "")

    monkeypatch.setattr(Engine, "podman", podman)
    monkeypatch.setattr(module, "_install", lambda: None)
    with pytest.raises(RuntimeError, match="podman would work in /other/checkout/"), Engine.start():
        pass
