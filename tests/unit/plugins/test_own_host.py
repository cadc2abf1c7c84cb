"""The API server of a laptop refuses requests for other hosts; on MWAA there is no such check."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_own_host as own_host
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.laptop.airflow import Airflow
from include.settings import ROOT, Settings


def status(hosts: str, host: str) -> int:
    """The status of an answer to a request for a host."""
    app = FastAPI()
    app.get("/")(lambda: "answer")
    for entry in own_host.middlewares(hosts):
        app.add_middleware(entry["middleware"], **entry["kwargs"])
    code: int = TestClient(app).get("/", headers={"Host": host}).status_code
    return code


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        *((name, 200) for name in ("127.0.0.1:8080", "localhost:8080", "localhost")),
        *((name, 400) for name in ("evil.example:8080", "127.0.0.1.evil.example", "", "[::1]")),
    ],
)
def test_only_an_own_host_is_answered(host: str, wanted: int) -> None:
    hosts = Airflow(Settings()).environment()["API_SERVER_HOSTS"]
    assert status(hosts, host) == wanted


def test_without_the_variable_there_is_no_check() -> None:
    assert own_host.middlewares("") == []
    assert status("", "any.example") == 200


def test_the_containers_reach_their_own_api_server() -> None:
    (environment,) = {
        service["environment"]["API_SERVER_HOSTS"]
        for service in yaml.safe_load((ROOT / "docker-compose.yaml").read_text())[
            "services"
        ].values()
        if "API_SERVER_HOSTS" in service.get("environment", {})
    }
    assert status(environment, "api-server:8080") == status(environment, "localhost:9090") == 200
    assert status(environment, "evil.example:8080") == 400
