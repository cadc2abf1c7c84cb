"""`make image` and `make push`: the tag, the login, and the reference that is returned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.deployment import image as images
from include.settings import UserError
from tests.containers import checkout
from tests.support.engine import Engine

LIMIT_MB = 210
"""The limit for the compressed layers, which each Fargate task pulls."""
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return checkout.copy(tmp_path / "checkout")


def run_command(
    source: Path, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m include.deployment.image` in a checkout."""
    return subprocess.run(
        [sys.executable, "-m", "include.deployment.image", *arguments],
        cwd=source,
        env=environ or {**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )


def commit_of(source: Path) -> str:
    ended = subprocess.run(
        ["git", "-C", source, "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_a_pushed_image_is_pulled_by_digest_and_runs(
    engine: Engine, source: Path, tmp_path: Path
) -> None:
    local = f"localhost/{images.name('dbt', commit_of(source))}"
    engine.podman("tag", engine.image(), local)
    environ = engine.environment | {"CONTAINER_PROGRAM": "podman"}
    with engine.registry(tmp_path) as address:
        repository = f"{address}/studio/game-analytics-dbt"
        pushed = run_command(source, "push", repository, environ=environ)
        assert pushed.returncode == 0, pushed.stderr
        reference = pushed.stdout.strip()
        assert reference.startswith(f"{repository}@sha256:")
        assert len(reference.rpartition(":")[2]) == 64

        engine.podman("rmi", local, f"{repository}:{commit_of(source)}")
        engine.podman("pull", "--quiet", reference)
        ran = engine.run("-c", "print('it runs')", image=reference, options=["--entrypoint=python"])
        assert ran.stdout.strip() == "it runs"
        command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"]
        manifest = subprocess.run(command, capture_output=True, check=True).stdout
        megabytes = sum(layer["size"] for layer in json.loads(manifest)["layers"]) / 1_000_000
        engine.say(f"image dbt: {megabytes:.0f} MB to pull")
        assert megabytes < LIMIT_MB
        engine.podman("rmi", reference)


@pytest.mark.parametrize("kind", ["changed", "new"])
def test_a_dirty_checkout_is_not_pushed(source: Path, kind: str) -> None:
    path = source / ("include/settings.py" if kind == "changed" else "include/new.py")
    with path.open("a") as file:
        file.write("# another line\n")
    refused = run_command(source, "push", "127.0.0.1:1/studio/dbt")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: the checkout has uncommitted changes")
    assert refused.stdout == ""


@pytest.mark.parametrize("wrong", ["", "dbt", "registry.example/dbt:tag", "https://r.example/dbt"])
def test_an_invalid_repository_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match=r"is not a repository: .*make push REPOSITORY="):
        images.push(wrong, {})


def test_the_error_without_docker_and_podman_names_both(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither docker nor podman can be used"):
        images.program({"PATH": str(tmp_path)})


def test_docker_is_preferred_if_its_daemon_answers(tmp_path: Path) -> None:
    _program(tmp_path / "podman", "exit 0")
    _program(tmp_path / "docker", "exit 1")
    assert images.program({"PATH": str(tmp_path)}) == "podman"
    _program(tmp_path / "docker", "exit 0")
    assert images.program({"PATH": str(tmp_path)}) == "docker"


def test_the_login_to_ecr_has_no_password_on_a_command_line(source: Path, tmp_path: Path) -> None:
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    log = tmp_path / "log"
    inspected = json.dumps([{"RepoDigests": [f"x@{DIGEST}", f"{registry}/dbt@{DIGEST}"]}])
    _program(tmp_path / "aws", f'echo "aws $*" >> {log}; echo a-token')
    _program(
        tmp_path / "docker",
        f'echo "docker $*" >> {log}\n'
        f'[ "$1" != login ] || echo "given $(cat)" >> {log}\n'
        f"[ \"$1\" != image ] || echo '{inspected}'",
    )
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    pushed = run_command(source, "push", f"{registry}/dbt", environ=environ)
    assert pushed.stdout == f"{registry}/dbt@{DIGEST}\n", pushed.stderr
    tag = commit_of(source)
    assert log.read_text().splitlines() == [
        "docker info",
        f"docker image inspect game-analytics-dbt:{tag}",
        "aws ecr get-login-password --region eu-west-1",
        f"docker login --username AWS --password-stdin {registry}",
        "given a-token",
        f"docker tag game-analytics-dbt:{tag} {registry}/dbt:{tag}",
        f"docker push {registry}/dbt:{tag}",
        f"docker image inspect {registry}/dbt:{tag}",
    ]


def test_the_configuration_of_pip_uv_and_openssl_is_passed_as_build_secrets(
    source: Path, tmp_path: Path
) -> None:
    _program(tmp_path / "docker", f'[ "$1" = info ] || echo "$*" >> {tmp_path / "log"}; exit 3')
    environ = os.environ | {
        "CONTAINER_PROGRAM": "docker",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PIP_CONFIG_FILE": "/company/pip.conf",
        "UV_CONFIG_FILE": "/company/uv.toml",
        "SSL_CERT_FILE": "/company/authority.pem",
    }
    (source / "include" / "new.py").touch()
    failed = run_command(source, "build", environ=environ)
    assert failed.returncode == 1
    assert "error: the image cannot be built" in failed.stderr
    assert (tmp_path / "log").read_text().split() == [
        *("build", "--target", "dbt"),
        *("--tag", f"game-analytics-dbt:{commit_of(source)}-dirty", "--platform", "linux/amd64"),
        *("--label", f"org.opencontainers.image.revision={commit_of(source)}-dirty"),
        *("--secret", "id=pip.conf,src=/company/pip.conf"),
        *("--secret", "id=uv.toml,src=/company/uv.toml"),
        *("--secret", "id=certificates,src=/company/authority.pem"),
        str(source),
    ]


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
