"""The image that runs dbt on ECS: its content, its size, and that it runs read-only."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from include import manifest
from include.deployment import image as images
from include.settings import ROOT
from tests.support.engine import Engine

LIMIT_MB = 550
"""The limit for the unpacked image, all of which Fargate pulls for every task.

196 MB of it belong to the base image that takes the place of the real one in tests.
"""
HADOLINT = ROOT / ".venv" / "aws" / "bin" / "hadolint"


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return engine.image()


@pytest.fixture(scope="module")
def configuration(engine: Engine, image: str) -> dict[str, Any]:
    inspected: dict[str, Any] = json.loads(engine.podman("image", "inspect", image).stdout)[0]
    return inspected


@pytest.fixture(scope="module")
def files(engine: Engine, image: str) -> list[str]:
    """The path of every file of the image."""
    options = ["--entrypoint=find", "--user=0"]
    return engine.run("/", "-xdev", "-type", "f", image=image, options=options).stdout.splitlines()


def python(engine: Engine, program: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in the image's Python, as the image's user."""
    return engine.run("-c", program, options=["--entrypoint=/opt/dbt/bin/python"], **how)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    linted = subprocess.run(
        [HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    if linted.returncode:
        pytest.fail(linted.stdout + linted.stderr, pytrace=False)


def test_the_image_keeps_its_contract_with_ecs(configuration: dict[str, Any]) -> None:
    config = configuration["Config"]
    assert config["User"] == "10001:10001"
    assert config["WorkingDir"] == "/app"
    assert config["Entrypoint"] == ["/opt/dbt/bin/python", "-m", "include.build.container"]
    assert config["Cmd"] == ["build"]
    assert {"HOME=/tmp", "GAME_ANALYTICS_DBT_EXECUTABLE=/opt/dbt/bin/dbt"} <= set(config["Env"])


def test_the_image_is_small(configuration: dict[str, Any]) -> None:
    assert configuration["Size"] < LIMIT_MB * 1_000_000


def test_the_user_of_the_image_can_write_no_file_of_it(engine: Engine, image: str) -> None:
    own = ["(", "-type", "f", "-o", "-type", "d", ")", "-writable", "-print"]
    # The container is not read-only here, so that the permissions of the files decide.
    options = ["--entrypoint=find", "--read-only=false"]
    found = engine.run("/", "-xdev", *own, image=image, options=options, check=False)
    debian = {"/run/lock", "/tmp", "/var/tmp"}  # noqa: S108 - Debian's folders that every user may write
    assert set(found.stdout.split()) == debian


def test_the_image_has_no_file_that_it_does_not_need(files: list[str]) -> None:
    assert {path.split("/")[2] for path in files if path.startswith("/app/")} == {"dbt", "include"}
    unwanted = re.compile(
        r"^/build/|^/root/\.(?!bashrc|profile)|/\.git/|/\.venv/|/pip\.conf$|/uv\.toml$|/\.env$"
        r"|\.duckdb$|\.pem$|\.key$|/credentials$|/auth\.json$|/config\.json$|/partial_parse"
        r"|/site-packages/pip/|/bin/pip"
    )
    # These are the certificates of public authorities.
    public = re.compile(r"/(?:botocore|certifi)/cacert\.pem$")
    assert [path for path in files if unwanted.search(path) and not public.search(path)] == []


def test_no_layer_contains_a_secret_of_the_build(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    # Every layer is read, because a file that a later layer deletes is still in an earlier one.
    archive = tmp_path / "image.tar"
    engine.podman("save", "--format=docker-archive", f"--output={archive}", image)
    layers = tmp_path / "layers"
    layers.mkdir()
    subprocess.run(["tar", "-C", layers, "-xf", archive], check=True)
    names = ""
    for layer in layers.rglob("*.tar"):
        names += subprocess.run(
            ["tar", "-tf", layer], capture_output=True, text=True, check=True
        ).stdout
    paths = names.splitlines()
    assert any(path.endswith("app/dbt/dbt_project.yml") for path in paths)
    given = re.compile(r"(^|/)(pip\.conf|uv\.toml)$|(^|/)run/secrets/|^(\./)?build/")
    assert [path for path in paths if given.search(path) and "site-packages" not in path] == []

    history = engine.podman("history", "--no-trunc", "--format={{.CreatedBy}}", image).stdout
    environment = engine.podman("image", "inspect", "--format={{.Config.Env}}", image).stdout
    assert "python -m compileall" in history
    secret = re.compile(
        r"password|passwd|token|aws_secret|secret_key|://[^/\s]+:[^/\s]+@", re.IGNORECASE
    )
    assert secret.findall(history + environment) == []


def test_dbt_parses_without_a_network_and_a_writable_file_system(
    engine: Engine, image: str
) -> None:
    environment = {
        "GAME_ANALYTICS_TARGET": "redshift",
        "GAME_ANALYTICS_LAKE": "s3://studio-lake/lake",
        "REDSHIFT_HOST": "warehouse.invalid",
    }
    parsed = engine.run(
        "parse",
        image=image,
        options=[
            "--entrypoint=/opt/dbt/bin/dbt",
            *(f"--env={k}={v}" for k, v in environment.items()),
        ],
    )
    assert "Registered adapter: redshift" in parsed.stdout


def test_the_manifest_of_the_image_belongs_to_its_project(engine: Engine) -> None:
    program = (
        "import json; from include import manifest as m; built = m.Manifest.read().built;"
        "print(json.dumps([m.is_current(), m.FINGERPRINT.read_text().strip(), sorted(built)]))"
    )
    current, fingerprint, built = json.loads(python(engine, program).stdout)
    assert current
    assert fingerprint == manifest.fingerprint()
    assert "model.game_analytics.rpt_daily_kpis" in built


def test_every_module_that_the_steps_import_exists(engine: Engine) -> None:
    # The build removes files from the packages; none of them may be needed.
    program = (
        "import include.build.preflight, include.lake.__main__, include.build.kpis,"
        "include.lake.external_tables.redshift,"
        "include.build.failing_rows, include.build.run_dbt, include.lake.compaction.compact;"
        "import agate, boto3, duckdb, pyarrow.dataset, pyarrow.parquet, sqlglot;"
        "print(agate.Number().cast('1,234.5'))"
    )
    assert python(engine, program).stdout.strip() == "1234.5"


def test_every_module_is_compiled(engine: Engine) -> None:
    # In a read-only container every process would compile a missing module again.
    program = (
        "import sys, pathlib, dbt.cli.main, include.lake.__main__;"
        "files = {n: getattr(m, '__cached__', None) for n, m in sys.modules.items()};"
        "print(len(files), [n for n, p in files.items() if p and not pathlib.Path(p).exists()])"
    )
    count, _, missing = python(engine, program).stdout.strip().partition(" ")
    assert int(count) > 500
    assert missing == "[]"


def test_the_bill_of_materials_names_every_package(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    path = tmp_path / "sbom.json"
    images.write_bill(image, engine.environment | {"CONTAINER_PROGRAM": "podman"}, path)
    bill = json.loads(path.read_text())
    parts = [part for part in bill["components"] if "version" in part]
    found = {(_normal(part["name"]), part["version"]) for part in parts}
    program = (
        "from importlib.metadata import distributions as d; import json;"
        "print(json.dumps([[p.metadata['Name'], p.version] for p in d()]))"
    )
    listed = json.loads(python(engine, program).stdout)
    installed = {(_normal(name), version) for name, version in listed}
    assert ("dbt-redshift", "1.11.1") in installed
    assert installed <= found
    assert any(part.get("purl", "").startswith("pkg:deb/debian/libssl3@") for part in parts)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")
