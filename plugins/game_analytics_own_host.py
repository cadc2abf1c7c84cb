"""Lets Airflow's API server answer only requests that name it as their host.

On a laptop, everybody who reaches the API server is an administrator, and it listens on loopback.
Without this check, a web page could still send it requests through a browser: the page's owner lets
the name of the page's host resolve to 127.0.0.1 (DNS rebinding), and the browser then counts the
API server as that page's own server. Such a request has the name of the page in its header `Host`.

The check is active only if the variable `API_SERVER_HOSTS` lists host names, separated by commas.
`make up`, `make run` and `docker-compose.yaml` set it. MWAA does not: its own proxy is in front of
the API server, and users log in.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.plugins_manager import AirflowPlugin


def middlewares(hosts: str) -> list[dict[str, Any]]:
    """Return the check for these host names, as Airflow expects it; no check if there are none.

    The API server then answers a request for another host with status 400.
    """
    names = [name.strip() for name in hosts.split(",") if name.strip()]
    if not names:
        return []
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return [
        {
            "name": "Only requests for an own host name",
            "middleware": TrustedHostMiddleware,
            "kwargs": {"allowed_hosts": names, "www_redirect": False},
        }
    ]


class OwnHostPlugin(AirflowPlugin):
    """Registers the check in Airflow's API server, which has the REST, UI and execution APIs."""

    name = "game_analytics_own_host"
    fastapi_root_middlewares = middlewares(os.environ.get("API_SERVER_HOSTS", ""))
