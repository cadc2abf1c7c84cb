"""`make image` and `make push`: the image that runs dbt on ECS, and Airflow's image for Compose.

An image is built with docker or podman, and its tag is the commit of the checkout. A company's
package index and certificates are taken from the variables that pip, uv and OpenSSL read. They are
passed to the build as secrets, so that no layer contains them.
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
"""Fargate's default platform. It does not depend on the machine that builds the image."""
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
    """The name of an image on the machine that builds it."""
    return f"game-analytics-{target}:{tag}"


def program(environ: Mapping[str, str]) -> str:
    """The program that builds images: CONTAINER_PROGRAM if set, else docker, else podman.

    docker is taken only if its daemon answers. Raises UserError if neither can build.
    """
    if chosen := environ.get("CONTAINER_PROGRAM"):
        return chosen
    for candidate in ("docker", "podman"):
        if shutil.which(candidate, path=environ.get("PATH")):
            ended = subprocess.run(
                [candidate, "info"], env=environ, capture_output=True, check=False
            )
            if ended.returncode == 0:
                return candidate
    raise UserError(
        "neither docker nor podman can be used: start Docker or install podman, then try again."
    )


def commit() -> str:
    """The commit of the checkout, with `-dirty` if a file differs from it.

    Raises UserError outside a git checkout.
    """
    head = _git("rev-parse", "--short=12", "HEAD")
    # Untracked files count, because the image would contain them too.
    return f"{head}-dirty" if _git("status", "--porcelain") else head


def _git(*arguments: str) -> str:
    ended = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        reason = ended.stderr.strip()
        raise UserError(
            f"git cannot read the commit, which is the image's tag ({reason}): run this in a git "
            "checkout."
        )
    return ended.stdout.strip()


def build(
    target: str,
    tag: str,
    environ: Mapping[str, str],
    options: Sequence[str] = (),
    platform: str = PLATFORM,
) -> str:
    """Build a target of the Dockerfile and return the image's name.

    The output of the build goes to standard error. Raises UserError if the build fails.
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
        failed=f"the image cannot be built: see the messages of {builder} above.",
    )
    return image


def write_bill(image: str, environ: Mapping[str, str], path: Path = BILL) -> None:
    """Write the image's bill of materials as CycloneDX JSON: each Debian and Python package.

    Raises UserError if the image or the tool is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        archive = Path(scratch) / "image.tar"
        _run(
            [program(environ), "save", "--output", str(archive), image],
            environ=environ,
            failed=f"{image} cannot be read: see the messages above.",
        )
        made = Path(scratch) / "sbom.json"
        _run(
            [str(SYFT), "scan", "--quiet", f"docker-archive:{archive}"],
            ["--source-name", image.partition(":")[0], "--source-version", image.partition(":")[2]],
            ["--output", f"cyclonedx-json={made}"],
            environ={**environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "TMPDIR": scratch},
            failed="the bill of materials cannot be made: see the messages above.",
        )
        made.replace(path)


def push(repository: str, environ: Mapping[str, str]) -> str:
    """Push the dbt image of the commit, and build it first if it does not exist.

    Returns the image's reference by digest for the task definition, because a digest always names
    the same image. Raises UserError if the checkout is dirty, the repository is not a valid name,
    or the registry refuses the push.
    """
    if not re.fullmatch(REPOSITORY, repository):
        raise UserError(
            f"{repository!r} is not a repository: give its name without a tag, "
            "make push REPOSITORY=<registry>/<repository>."
        )
    tag = commit()
    if tag.endswith("-dirty"):
        raise UserError(
            "the checkout has uncommitted changes, so no commit would identify the content of the "
            "image: commit them (see `git status`), then push."
        )
    builder = program(environ)
    image = name("dbt", tag)
    known = subprocess.run(
        [builder, "image", "inspect", image], env=environ, capture_output=True, check=False
    )
    if known.returncode:
        build("dbt", tag, environ)
    _log_in(builder, repository.partition("/")[0], environ)
    target = f"{repository}:{tag}"
    _run([builder, "tag", image, target], environ=environ, failed=f"{image} cannot be tagged.")
    with tempfile.TemporaryDirectory() as scratch:
        digest = Path(scratch) / "digest"
        # docker gives the digest after the push, podman only during the push.
        options = ["--digestfile", str(digest)] if Path(builder).name == "podman" else []
        _run(
            [builder, "push", *options, target],
            environ=environ,
            failed=f"{target} cannot be pushed: see the messages above. If the tag exists already "
            "and is immutable, this commit was pushed before: take its digest from the registry.",
        )
        if digest.exists():
            return f"{repository}@{digest.read_text().strip()}"
    return _by_digest(builder, target, repository, environ)


def _by_digest(builder: str, image: str, repository: str, environ: Mapping[str, str]) -> str:
    """The reference by digest of a pushed image; raises UserError if the builder has none."""
    ended = subprocess.run(
        [builder, "image", "inspect", image], env=environ, capture_output=True, check=True
    )
    for reference in json.loads(ended.stdout)[0]["RepoDigests"]:
        if reference.startswith(f"{repository}@"):
            return str(reference)
    raise UserError(
        f"{image} is pushed, but {builder} does not give its digest: take it from the registry."
    )


def _log_in(builder: str, registry: str, environ: Mapping[str, str]) -> None:
    """Log in to a registry of ECR for twelve hours. To other registries the user must log in."""
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
        raise UserError(
            "`aws`, which gives the password for ECR, is not installed: install AWS's command line."
        ) from None
    except subprocess.CalledProcessError:
        raise UserError(
            "aws gives no password for ECR, see its message above: allow the user or role "
            "ecr:GetAuthorizationToken."
        ) from None
    _run(
        [builder, "login", "--username", "AWS", "--password-stdin", registry],
        environ=environ,
        failed=f"{registry} refuses the login: see the messages above.",
        stdin=password,
    )


def _run(
    *command: Sequence[str], environ: Mapping[str, str], failed: str, stdin: bytes = b""
) -> None:
    """Run a program and send its output to standard error, because `main` prints only the result.

    Raises UserError with the text `failed` if the program fails.
    """
    ended = subprocess.run(
        [word for words in command for word in words],
        env=environ,
        input=stdin,
        stdout=sys.stderr,
        check=False,
    )
    if ended.returncode:
        raise UserError(failed)


@command
def main() -> int:
    """Run the command `build` or `push`."""
    parser = argparse.ArgumentParser(prog="python -m include.deployment.image")
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build")
    building.add_argument("target", choices=TARGETS, nargs="?", default="dbt")
    building.add_argument("options", nargs="*", help="further options of docker build, after --")
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
