"""Sends events to an OpenLineage backend, within a limit of time."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import requests
from openlineage.client.event_v2 import RunEvent
from openlineage.client.transport.http import HttpConfig, HttpTransport, create_token_provider

CONNECTIONS = 8
"""The number of connections, each of which is kept open for many events."""
SECONDS_PER_EVENT = 0.02
"""Each event that is accepted extends the limit by this, so that a large project is sent whole."""
RETRY: dict[str, Any] = {
    "total": 2,
    "backoff_factor": 0.3,
    "status_forcelist": [429, 502, 503, 504],
    "allowed_methods": ["POST"],
}
"""An event is sent again after an error that can pass. A backend keeps each event only once."""


class Sender:
    """Sends events to a backend, and stops at the first one that it does not accept.

    All calls of `send` together wait for `seconds`, and longer only as far as the backend accepts
    events. `accepted` counts these. The threads end with the process, because a name server or a
    backend that answers slowly cannot be interrupted.
    """

    def __init__(self, url: str, api_key: str, seconds: float) -> None:
        self._url = f"{url.rstrip('/')}/"
        self._api_key = api_key
        self._seconds = seconds
        self._waited = 0.0
        self.accepted = 0
        self._error = ""
        self._working = 0
        self._waiting: deque[Sequence[RunEvent]] = deque()
        self._changed = threading.Condition()

    def send(self, runs: Iterable[Sequence[RunEvent]]) -> str:
        """Send the events of some runs, those of one run in their order; returns the first error.

        The time in which the events of `runs` are made does not count.
        """
        self._waiting.extend(runs)
        began = time.monotonic() - self._waited
        self._working = min(CONNECTIONS, len(self._waiting))
        for _ in range(self._working):
            threading.Thread(target=self._work, daemon=True).start()
        with self._changed:
            while self._working and not self._error:
                self._waited = time.monotonic() - began
                left = self._seconds + self.accepted * SECONDS_PER_EVENT - self._waited
                if left <= 0:
                    self._error = "it answers too slowly" if self.accepted else "it did not answer"
                else:
                    self._changed.wait(left)
            self._waited = time.monotonic() - began
            return self._error

    def _work(self) -> None:
        transport = HttpTransport(self._config())
        try:
            while events := self._next():
                for event in events:
                    transport.emit(event)
                    with self._changed:
                        self.accepted += 1
        except Exception as error:  # noqa: BLE001
            # The client's, requests' and Python's exceptions have no common class.
            with self._changed:
                self._error = self._error or _explained(error)
        finally:
            transport.close()
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _next(self) -> Sequence[RunEvent]:
        with self._changed:
            return self._waiting.popleft() if self._waiting and not self._error else ()

    def _config(self) -> HttpConfig:
        session = requests.Session()
        # requests sends a redirected event as a GET, which a web server can answer with success.
        session.max_redirects = 0
        auth = {"type": "api_key", "api_key": self._api_key} if self._api_key else {}
        return HttpConfig(
            url=self._url,
            timeout=self._seconds,
            auth=create_token_provider(auth),
            session=session,
            retry=RETRY,
        )


def _explained(error: Exception) -> str:
    if isinstance(error, requests.TooManyRedirects):
        return "it redirects to another address: set the setting to that address"
    if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.Timeout):
        return f"it cannot be reached ({_cause(error)})"
    return " ".join(str(error).split()) or type(error).__name__


def _cause(error: BaseException) -> str:
    """The innermost reason, such as "Connection refused", without the library's layers."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(reason).rpartition(": ")[2].split()))
