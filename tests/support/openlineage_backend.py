"""A backend of OpenLineage on loopback, and the check of events against OpenLineage's schemas."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker

Event = dict[str, Any]
SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("openlineage_schema.json").read_text())


class Backend(ThreadingHTTPServer):
    """Keeps the events that it gets, with the headers and the path of each request.

    After `accepted` events it answers with `status`, where 0 means an answer after a minute. It
    waits for `seconds` before each other answer.
    """

    daemon_threads = True

    def __init__(self, status: int = 200, accepted: int = 0, seconds: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.accepted = accepted
        self.seconds = seconds
        self.late_answers = 0
        self.events: list[Event] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections: set[tuple[str, int]] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """The address of the backend."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Backend

    def do_POST(self) -> None:
        """Keep an event."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.seconds)
        with self.server.lock:
            is_kept = self.server.status == 200 or len(self.server.events) < self.server.accepted
            self.server.requests.append((self.path, dict(self.headers)))
            self.server.connections.add(self.client_address)
            if is_kept:
                self.server.events.append(json.loads(body))
        status = 200 if is_kept else self.server.status
        if not status:
            time.sleep(60)
            self.server.late_answers += 1
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Answer as a web page does, to which an event was redirected."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def backend(status: int = 200, accepted: int = 0, seconds: float = 0.0) -> Iterator[Backend]:
    """Run a backend for the block."""
    with Backend(status, accepted, seconds) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def findings(event: Event) -> list[str]:
    """What is wrong with an event by OpenLineage's schemas."""
    return [f"{error.json_path}: {error.message}" for error in _validator().iter_errors(event)]


@cache
def _validator() -> Draft202012Validator:
    formats = FormatChecker(formats=())
    formats.checks("uuid", ValueError)(lambda text: bool(uuid.UUID(text)))
    formats.checks("date-time", ValueError)(lambda text: bool(datetime.fromisoformat(text).tzinfo))
    formats.checks("uri", ValueError)(lambda text: bool(urlsplit(text).scheme))
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA, format_checker=formats)
