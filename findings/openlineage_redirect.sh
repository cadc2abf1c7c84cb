#!/usr/bin/env bash
# openlineage-python 1.54.0: an event that is sent to an address that redirects is lost, and the client reports success.
#
# Expected: the HTTP transport sends each event as a POST request, and `emit` raises an error if the backend does not
# accept the event. A backend often redirects from http:// to https:// or to another path.
# What happens: the library below, requests, follows a 301 or 302 with a GET request that has no body. If a web page
# answers that request with 200, as the start page of a backend or a login page does, `emit` returns that response.
# Why it matters: a wrong scheme in the setting of the URL loses the lineage of all runs, and no log says so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openlineage-python==1.54.0

venv/bin/python - <<'PYTHON'
import importlib.metadata
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.transport.http import HttpConfig, HttpTransport

requests = []


class Backend(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(301)

    def do_GET(self):
        self.answer(200)

    def answer(self, status):
        requests.append((self.command, self.path, int(self.headers.get("Content-Length") or 0)))
        self.send_response(status)
        if status == 301:
            self.send_header("Location", "/new/api/v1/lineage")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=server.serve_forever, daemon=True).start()
transport = HttpTransport(HttpConfig(url=f"http://127.0.0.1:{server.server_address[1]}"))
event = RunEvent(
    eventType=RunState.COMPLETE,
    eventTime="2026-11-30T04:30:00+00:00",
    run=Run("9a5587d6-8782-598d-ad81-c35d8cce6eee"),
    job=Job("shop", "orders"),
)
try:
    result = f"returned {transport.emit(event).status_code}"
except Exception as error:
    result = f"raised {type(error).__name__}"

print(f"openlineage-python {importlib.metadata.version('openlineage-python')}")
print("The backend answers each POST with a redirect, and each GET with 200:")
for method, path, length in requests:
    print(f"    {method} {path}, {'with a body' if length else 'without a body'}")
print(f"    emit {result}")

if [method for method, _, _ in requests] != ["POST", "GET"] or requests[1][2] or result != "returned 200":
    sys.exit("The behaviour has changed: expected a POST, then a GET without a body, and that emit returns 200.")
PYTHON
