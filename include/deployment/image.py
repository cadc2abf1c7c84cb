"""`make image` and `make push`: the image that runs dbt on ECS, and Airflow's for Compose.

It is built with docker or podman, whichever is there, and its tag is the commit of the checkout.
A company's package index and certificates are named by the variables that pip, uv and OpenSSL read
themselves; they reach the build as secrets, which no layer keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from include.command import command
from include.settings import ROOT, UserError

TARGETS = ("dbt", "airflow")
PLATFORM = "linux/amd64"
"""What Fargate runs unless the task definition says otherwise, whatever this machine is."""
SECRETS = {
    "pip.conf": "PIP_CONFIG_FILE",
    "uv.toml": "UV_CONFIG_FILE",
    "certificates": "SSL_CERT_FILE",
}
"""Build secrets of the Dockerfile, each with the variable that names its file."""
BILL = ROOT / "dist" / "sbom.json"
SYFT = ROOT / ".venv" / "aws" / "bin" / "syft"
REPOSITORY = r"[a-z0-9.-]+(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+"
ECR = r"[0-9]{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"


def name(target: str, tag: str) -> str:
    """What an image is called on the machine that builds it."""
    return f"game-analytics-{target}:{tag}"


def program(environ: Mapping[str, str]) -> str:
    """`docker` if its daemon answers, else `podman`; CONTAINER_PROGRAM decides if it is set.

    Raises UserError if neither can build.
    """
    if chosen := environ.get("CONTAINER_PROGRAM"):
        return chosen
    for candidate in ("docker", "podman"):
        if shutil.which(candidate, path=environ.get("PATH")):
            asked = subprocess.run(
                [candidate, "info"], env=environ, capture_output=True, check=False
            )
            if asked.returncode == 0:
                return candidate
    raise UserError(
        "neither docker nor podman runs here: start Docker, or install podman, then try again."
    )


def commit() -> str:
    """The commit of the checkout, `-dirty` if a file is not as it is there.

    Raises UserError outside a git checkout.
    """
    head = _git("rev-parse", "--short=12", "HEAD")
    # Files that git does not know count: they would be in the image as well.
    return f"{head}-dirty" if _git("status", "--porcelain") else head


def _git(*arguments: str) -> str:
    asked = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise UserError(f"the image's tag is the commit, and git cannot tell it: {asked.stderr}")
    return asked.stdout.strip()


def build(
    target: str,
    tag: str,
    environ: Mapping[str, str],
    options: Sequence[str] = (),
    platform: str = PLATFORM,
) -> str:
    """Build a target of the Dockerfile and return the image's name.

    What the build prints goes to standard error. Raises UserError if it fails.
    """
    builder = program(environ)
    secrets = [
        option
        for secret, variable in SECRETS.items()
        if environ.get(variable)
        for option in ("--secret", f"id={secret},src={environ[variable]}")
    ]
    image = name(target, tag)
    _run(
        [builder, "build", "--target", target, "--tag", image, "--platform", platform],
        ["--label", f"org.opencontainers.image.revision={tag}", *secrets, *options, str(ROOT)],
        environ=environ,
        failed=f"the image cannot be built; {builder} says why above.",
    )
    return image


def write_bill(image: str, environ: Mapping[str, str], path: Path = BILL) -> None:
    """Write the image's bill of materials: each Debian and Python package, as CycloneDX JSON.

    Raises UserError if the image or the tool is not there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        archive = Path(scratch) / "image.tar"
        _run(
            [program(environ), "save", "--output", str(archive), image],
            environ=environ,
            failed=f"{image} cannot be read.",
        )
        made = Path(scratch) / "sbom.json"
        _run(
            [str(SYFT), "scan", "--quiet", f"docker-archive:{archive}"],
            ["--source-name", image.partition(":")[0], "--source-version", image.partition(":")[2]],
            ["--output", f"cyclonedx-json={made}"],
            environ={**environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "TMPDIR": scratch},
            failed="the bill of materials cannot be made.",
        )
        made.replace(path)


def push(repository: str, environ: Mapping[str, str]) -> str:
    """Push the commit's dbt image, built if need be; returns its reference by digest.

    That reference is what the task definition takes: nobody can put another image behind it.
    Raises UserError for a dirty checkout, a name that is none, and what the registry refuses.
    """
    if not re.fullmatch(REPOSITORY, repository):
        raise UserError(
            f"{repository!r} is no repository: make push REPOSITORY=<registry>/<repository>, "
            "without a tag."
        )
    tag = commit()
    if tag.endswith("-dirty"):
        raise UserError(
            "the checkout has changes that no commit has, so nobody could tell what the image "
            "holds: commit them (git status), then push."
        )
    builder = program(environ)
    image = name("dbt", tag)
    known = subprocess.run(
        [builder, "image", "inspect", image], env=environ, capture_output=True, check=False
    )
    if known.returncode:
        build("dbt", tag, environ)
    _log_in(builder, repository.partition("/")[0], environ)
    there = f"{repository}:{tag}"
    _run([builder, "tag", image, there], environ=environ, failed=f"{image} cannot be tagged.")
    with tempfile.TemporaryDirectory() as scratch:
        digest = Path(scratch) / "digest"
        # Docker tells the digest afterwards; podman only while it pushes.
        options = ["--digestfile", str(digest)] if Path(builder).name == "podman" else []
        _run(
            [builder, "push", *options, there],
            environ=environ,
            failed=f"{there} cannot be pushed. If the tag is there already and immutable, this "
            "commit was pushed before: take its digest from the registry.",
        )
        if digest.exists():
            return f"{repository}@{digest.read_text().strip()}"
    return _by_digest(builder, there, repository, environ)


def _by_digest(builder: str, image: str, repository: str, environ: Mapping[str, str]) -> str:
    """A pushed image by its digest in this repository; raises UserError if it is not told."""
    asked = subprocess.run(
        [builder, "image", "inspect", image], env=environ, capture_output=True, check=True
    )
    for reference in json.loads(asked.stdout)[0]["RepoDigests"]:
        if reference.startswith(f"{repository}@"):
            return str(reference)
    raise UserError(f"{image} is pushed, but {builder} does not tell its digest: ask the registry.")


def _log_in(builder: str, registry: str, environ: Mapping[str, str]) -> None:
    """Log in to a registry of ECR, for twelve hours; with another one that is the user's matter."""
    found = re.fullmatch(ECR, registry)
    if not found:
        return
    try:
        password = subprocess.run(
            ["aws", "ecr", "get-login-password", "--region", found[1]],
            env=environ,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    except FileNotFoundError:
        raise UserError("`aws` is not installed: ECR's password comes from it.") from None
    except subprocess.CalledProcessError:
        raise UserError(
            "aws gives no password for ECR; it says why above. The user or role needs "
            "ecr:GetAuthorizationToken."
        ) from None
    _run(
        [builder, "login", "--username", "AWS", "--password-stdin", registry],
        environ=environ,
        failed=f"{registry} refuses the login.",
        given=password,
    )


def _run(
    *command: Sequence[str], environ: Mapping[str, str], failed: str, given: bytes = b""
) -> None:
    """Run a program; what it prints goes to standard error, as the result alone is printed."""
    ran = subprocess.run(
        [word for words in command for word in words],
        env=environ,
        input=given,
        stdout=sys.stderr,
        check=False,
    )
    if ran.returncode:
        raise UserError(failed)


@command
def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m include.deployment.image")
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build")
    building.add_argument("target", choices=TARGETS, nargs="?", default="dbt")
    building.add_argument("options", nargs="*", help="more for docker build, after --")
    commands.add_parser("push").add_argument("repository")
    arguments = parser.parse_args()
    if arguments.command == "push":
        print(push(arguments.repository, os.environ))
        return 0
    image = build(arguments.target, commit(), os.environ, arguments.options)
    write_bill(image, os.environ)
    print(f"{image}, bill of materials in {BILL.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
