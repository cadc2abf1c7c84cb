"""Starts MiniStack, the AWS emulator. It has its own environment because it pins a botocore."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv/aws/bin/python"
PROGRAM = Path(__file__).with_name("emulator.py")
HOST = "127.0.0.1"
REGION = "us-east-1"


class Unavailable(Exception):  # noqa: N818 - a reason to skip
    """The environment of MiniStack is missing."""


@dataclass(frozen=True)
class MiniStack:
    """A running emulator."""

    endpoint: str

    @classmethod
    @contextlib.contextmanager
    def start(cls, folder: Path, python: Path = PYTHON, **environment: str) -> Iterator[MiniStack]:
        """Start the emulator with its state in `folder`, and stop it at the end of the block.

        `python` is the interpreter of MiniStack's environment. `environment` holds further
        variables for the emulator. Raises Unavailable if the environment is missing.
        """
        if not python.exists():
            raise Unavailable(f"MiniStack's environment is missing: {python}")
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as listener:
            listener.bind((HOST, 0))
            port = int(listener.getsockname()[1])
        own = {
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "S3_DATA_DIR": str(folder / "s3"),
            "TMPDIR": str(folder),
            "HOME": str(folder),
            "LOG_LEVEL": "WARNING",
            # No files are written into the folders of the tests.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHON"))}
        with (folder / "ministack.log").open("wb") as log:
            process = subprocess.Popen(
                # -P is needed because the folder of the program has a module `ministack` too.
                [python, "-P", PROGRAM],
                env={**inherited, **own, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        emulator = cls(f"http://{HOST}:{port}")
        try:
            emulator._wait(process, folder / "ministack.log")
            yield emulator
        finally:
            _stop(process)

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        for _ in range(300):
            if process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2):  # noqa: S310
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"MiniStack does not answer: {log.read_text(errors='replace')[-2000:]}")

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator. Only this method needs boto3."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="stand-in",
            aws_secret_access_key="stand-in",  # noqa: S106 - the emulator checks no credentials
            config=Config(s3={"addressing_style": "path"}),
        )

    def environment(self) -> dict[str, str]:
        """The variables with which a process uses the emulator as AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the process group of the emulator and of all processes that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
