"""Podman for the tests, with its own storage in the checkout and substitutes for base images.

The tests use the Dockerfile and docker-compose.yaml unchanged. The images that these files name are
made here from Debian's packages and tagged with the real names. The module imports only the
standard library and the project, so that the tests of every environment can use it.

    with Engine.start() as engine:              # raises Unavailable, the reason to skip
        engine.run("dbt", "--version")          # runs a container of target dbt, and removes it
        engine.image("airflow")                 # builds the image unless it was built before
        engine.socket                           # Docker's API, for Compose and MiniStack
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from include.deployment import image as images
from include.settings import ROOT
from tests.support.debian import ENVIRONMENT, Unavailable, install

PACKAGES = {
    "buildah": "buildah",
    "podman": "podman",
    "runc": "runc",
    "conmon": "conmon",
    "mmdebstrap": "mmdebstrap",
    "skopeo": "skopeo",
    "iptables": "iptables",
    "docker-registry": "docker-registry",
    "catatonit": "catatonit",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "/usr/share/containers/seccomp.json": "golang-github-containers-common",
}
"""The needed Debian packages, each by a program or file that shows that it is installed."""

FOLDER = ROOT / ".venv" / "containers"
"""The storage of images. It is kept for the next tests; delete it when it becomes too large."""
SHORT = 49
"""The longest path in characters that podman accepts for a folder of sockets."""
RUN = FOLDER / "run"
"""The folder of sockets and locks."""
if len(str(RUN)) > SHORT:
    RUN = Path("/tmp") / f"ga-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}"  # noqa: S108
OUT_OF_MEMORY = FOLDER / "service" / "oom"
"""The file that conmon writes when a container of the service ran out of memory."""

SUITE = "bookworm"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LIBRARIES = (
    "ca-certificates,netbase,tzdata,libssl3,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,"
    "libreadline8,libncursesw6,libuuid1,libexpat1,libnsl2,libgdbm6"
)
BUILT_FROM = ("Dockerfile", ".dockerignore", "dags", "dbt", "include", "plugins")

# Of the start script of the real image, Compose needs only the creation of the database.
POSTGRES_START = """#!/bin/sh
set -eu
export PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA="${PGDATA:-/var/lib/postgresql/data}"
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" && chown -R postgres "$PGDATA" && exec setpriv --reuid=postgres \\
        --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --encoding UTF8 --username "$POSTGRES_USER" --auth "$POSTGRES_HOST_AUTH_METHOD"
    echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >> "$PGDATA/pg_hba.conf"
    echo "create database $POSTGRES_DB" | postgres --single -j postgres
fi
exec "$@" -k /tmp -c listen_addresses='*'
"""


@dataclass
class Engine:
    """Podman with its own storage, made by `Engine.start()`."""

    environment: dict[str, str]
    """The variables with which podman, buildah, skopeo and `make image` find these images."""
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[Engine]:
        """Set podman up. All processes that the engine started end with the block.

        Raises Unavailable if podman cannot run here.
        """
        _install()
        FOLDER.mkdir(parents=True, exist_ok=True)
        place = FOLDER / "place"
        if not place.exists() or place.read_text() != str(RUN):
            # The storage contains its own paths, so it cannot be used in a checkout that was moved.
            shutil.rmtree(FOLDER / "storage", ignore_errors=True)
        RUN.mkdir(mode=0o700, exist_ok=True)
        _write(place, str(RUN))
        engine = cls({**ENVIRONMENT, **_configure()})
        try:
            store = engine.podman("info", "--format={{.Store.GraphRoot}}", timeout=60).stdout
        except RuntimeError as error:
            raise Unavailable(f"podman does not run here: {error}") from None
        if store.strip() != str(FOLDER / "storage"):
            # podman prefers the paths in its database, made in another checkout, to the given ones.
            raise RuntimeError(
                f"{FOLDER} was copied, and podman would work in {store.strip()}: "
                f"remove {FOLDER / 'storage' / 'libpod'}"
            )
        with engine._closing:
            yield engine

    def podman(
        self, *arguments: str | Path, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run podman to its end; raises RuntimeError with its output if it fails."""
        return _ran(["podman", *arguments], self.environment, check, timeout)

    def run(
        self,
        *command: str | Path,
        image: str = "",
        options: Sequence[str | Path] = (),
        check: bool = True,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end as ECS does: read-only except /tmp, and without a network.

        `image` is by default the image of target `dbt`. `options` are options of `podman run`, such
        as `--entrypoint=…`, `--network=host` or `--env=…`.
        """
        words = self.words(*command, image=image, options=options)
        return self.podman(*words, check=check, timeout=timeout)

    def words(
        self, *command: str | Path, image: str = "", options: Sequence[str | Path] = ()
    ) -> list[str | Path]:
        """The arguments of podman for `run`."""
        own = ["--rm", "--init", "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp"]
        network = [] if any(str(o).startswith("--network") for o in options) else ["--network=none"]
        return ["run", *own, *network, *options, image or self.image(), *command]

    def image(self, target: str = "dbt") -> str:
        """The name of a target's image, which is built if these files were not built before."""
        tag = self._tag
        wanted = f"localhost/{images.name(target, tag)}"
        if self.has(wanted):
            return wanted
        with self._alone("build"):
            if not self.has(wanted):
                self._python_image()
                started = time.monotonic()
                environ = self.environment | {"CONTAINER_PROGRAM": "podman"}
                # The pip settings of this machine may name files that do not exist in the build.
                for variable in ("PIP_CONFIG_FILE", "UV_CONFIG_FILE"):
                    environ.pop(variable, None)
                if CERTIFICATES.exists():
                    environ.setdefault("SSL_CERT_FILE", str(CERTIFICATES))
                options = ["--pull-never", "--layers", "--isolation=chroot"]
                images.build(target, tag, environ, options, _platform())
                self.say(f"image {target}: built in {time.monotonic() - started:.0f} s")
                self._remove_others(target, tag)
        return wanted

    def has(self, image: str) -> bool:
        """Whether an image is in the storage."""
        return self.podman("image", "exists", image, check=False).returncode == 0

    def _remove_others(self, target: str, tag: str) -> None:
        """Remove images of other versions of the files, unless a container uses them."""
        found = self.podman("images", "--format={{.Repository}}:{{.Tag}}").stdout.split()
        for other in found:
            ours = re.fullmatch(rf"localhost/game-analytics-{target}:(files-\w+)", other)
            if ours and ours[1] != tag:
                self.podman("rmi", other, check=False)

    @cached_property
    def _tag(self) -> str:
        """A tag made from the content of all files that an image is made of."""
        digest = hashlib.sha256()
        for name in BUILT_FROM:
            top = ROOT / name
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                parts = path.relative_to(ROOT).parts
                made = parts[:2] in {("dbt", "target"), ("dbt", "logs")} or "__pycache__" in parts
                if path.is_file() and not made:
                    digest.update(f"{'/'.join(parts)}\0{path.stat().st_mode}\0".encode())
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
        return f"files-{digest.hexdigest()[:12]}"

    def _python_image(self) -> None:
        """Make a substitute for the base image of Debian's libraries and this machine's CPython."""
        found = re.search(r"^ARG PYTHON_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.M)
        if found and not self.has(found[1]):
            prefix = _python_prefix()
            own = (
                # The layout is that of the real image, whose Python is in /usr/local.
                f"tar -C {prefix} --exclude='lib/python3*/test' --exclude='*.a' "
                "--exclude=__pycache__ --exclude='lib/python3*/site-packages/*' -cf - "
                'bin include lib | tar -C "$1/usr/local" -xf - && cd "$1/usr/local" && rm -f '
                "bin/pip* bin/idle* bin/2to3* bin/pydoc* && "
                "{ strip --strip-unneeded lib/libpython3.1*.so.1.0 || true; } && "
                'ln -sf python3 bin/python && chroot "$1" sh -c \'ldconfig && '
                "python3 -m ensurepip >/dev/null 2>&1 && ln -sf pip3 /usr/local/bin/pip'"
            )
            debian = (
                'ln -s /usr/bin/python3 "$1/usr/local/bin/python3" && '
                'ln -s /usr/bin/python3 "$1/usr/local/bin/python"'
            )
            self._debian(
                found[1],
                LIBRARIES if prefix else f"{LIBRARIES},python3,python3-venv",
                own if prefix else debian,
                "CMD python3",
            )

    def postgres_image(self, name: str) -> str:
        """Make a substitute for an official image of PostgreSQL, under its real name."""
        with self._alone("postgres"):
            if not self.has(name):
                script = FOLDER / "start-postgres"
                script.write_text(POSTGRES_START)
                script.chmod(0o755)
                self._debian(
                    name,
                    "postgresql",
                    f'cp {script} "$1/usr/local/bin/docker-entrypoint.sh"',
                    'ENTRYPOINT ["docker-entrypoint.sh"]',
                    'CMD ["postgres"]',
                    "VOLUME /var/lib/postgresql/data",
                    "ENV PATH=/usr/local/bin:/usr/lib/postgresql/15/bin:/usr/bin:/bin",
                )
        return name

    def _debian(self, image: str, packages: str, hook: str, *changes: str) -> None:
        """Make an image of Debian packages. The shell command `hook` changes its files, in `$1`."""
        started = time.monotonic()
        archive = FOLDER / f"{os.getpid()}.tar"
        left_out = ("man", "doc", "locale", "info")
        _ran(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"),
                f"--include={packages}",
                "--dpkgopt=force-unsafe-io",
                *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in left_out),
                f"--customize-hook={hook}",
                '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
                *(SUITE, str(archive)),
            ],
            self.environment,
        )
        settings = [option for change in changes for option in ("--change", change)]
        self.podman("import", *settings, archive, image)
        archive.unlink()
        self.say(f"substitute for {image}: made in {time.monotonic() - started:.0f} s")

    @cached_property
    def socket(self) -> Path:
        """The socket of Docker's API (`DOCKER_HOST=unix://…`), served while the engine exists."""
        path = RUN / f"{os.getpid()}.sock"
        path.unlink(missing_ok=True)
        OUT_OF_MEMORY.parent.mkdir(exist_ok=True)
        OUT_OF_MEMORY.unlink(missing_ok=True)
        log = self._closing.enter_context((FOLDER / "service.log").open("ab"))
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{path}"],
            env=self.environment,
            cwd=OUT_OF_MEMORY.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._closing.callback(_end, service, path)
        _wait(lambda: path.exists() or service.poll() is not None, "podman's service")
        if service.poll() is not None:
            raise RuntimeError(f"podman's service ended: see {FOLDER / 'service.log'}")
        return path

    @contextlib.contextmanager
    def health_checks(self, label: str) -> Iterator[None]:
        """Run the health checks of containers with a label. podman leaves this to systemd."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(1):
                found = self.podman("ps", "--quiet", f"--filter=label={label}", check=False)
                for container in found.stdout.split():
                    with contextlib.suppress(RuntimeError):
                        self.podman("healthcheck", "run", container, check=False, timeout=30)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextlib.contextmanager
    def registry(self, folder: Path) -> Iterator[str]:
        """A registry on `127.0.0.1:<port>`, which podman and skopeo use without TLS."""
        address = f"127.0.0.1:{free_port()}"
        settings = folder / "registry.yml"
        settings.write_text(
            "version: 0.1\n"
            f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}\n"
            f"http: {{addr: '{address}'}}\n"
        )
        with (folder / "registry.log").open("wb") as log:
            server = subprocess.Popen(
                ["docker-registry", "serve", settings], stdout=log, stderr=log
            )
        try:
            _wait(lambda: _listens(address), "the registry")
            yield address
        finally:
            _end(server)

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Hold a lock, because parallel tests must not build the same image twice."""
        with (FOLDER / f"{what}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @staticmethod
    def say(text: str) -> None:
        """Print how long a step took. pytest shows it for a failed test, or with -s."""
        print(f"[containers] {text}", file=sys.stderr, flush=True)


def _install() -> None:
    """Install missing Debian packages; raises Unavailable if they cannot be installed."""
    if sys.platform != "linux":
        raise Unavailable("the tests' containers need Linux")
    if os.geteuid():
        raise Unavailable("the tests' containers need root: podman mounts and networks as root")
    install(PACKAGES, "the tests' containers")


def _configure() -> dict[str, str]:
    """Write podman's settings; returns the variables that name them."""
    storage, containers, registries = (
        FOLDER / name for name in ("storage.conf", "containers.conf", "registries.conf")
    )
    # By default podman mounts the storage onto itself, and then it could not be deleted.
    _write(
        storage,
        f'[storage]\ndriver = "overlay"\nrunroot = "{RUN}"\ngraphroot = "{FOLDER / "storage"}"\n'
        '[storage.options.overlay]\nskip_mount_home = "true"\n',
    )
    # runc is used because Debian's crun refuses hybrid control groups. The limits are set because
    # podman's defaults exceed what an unprivileged machine allows. Locks are files because all
    # storages would share the locks in shared memory.
    _write(
        containers,
        "[containers]\n"
        'default_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]\n'
        'log_driver = "k8s-file"\n'
        "[engine]\n"
        'cgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
        f'lock_type = "file"\ntmp_dir = "{RUN}/libpod"\n'
        "[network]\n"
        f'network_backend = "netavark"\nnetwork_config_dir = "{FOLDER / "networks"}"\n',
    )
    _write(registries, '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n')
    return {
        "CONTAINERS_STORAGE_CONF": str(storage),
        "CONTAINERS_CONF": str(containers),
        "CONTAINERS_REGISTRIES_CONF": str(registries),
    }


def _write(path: Path, text: str) -> None:
    """Write a file atomically, because other tests may be reading it."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(path)


def _python_prefix() -> Path | None:
    """The folder of a CPython that can be copied, 3.12 before 3.11; None if there is none.

    Installations beside the running one count too. Debian's own Python has no single folder.
    """
    prefix = Path(sys.base_prefix)
    for version in ("3.12", "3.11"):
        for found in [prefix, *sorted(prefix.parent.glob("*"), reverse=True)]:
            parts = (found / f"bin/python{version}", found / f"lib/python{version}/ensurepip")
            if found != Path("/usr") and all(part.exists() for part in parts):
                return found
    return None


def _platform() -> str:
    machine = os.uname().machine
    return f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def _ran(
    command: Sequence[str | Path],
    environ: dict[str, str],
    check: bool = True,
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    try:
        ran = subprocess.run(
            words,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(words)} has not ended after {timeout:.0f} s") from None
    if check and ran.returncode:
        raise RuntimeError(
            f"{' '.join(words)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}"
        )
    return ran


def _wait(ready: Callable[[], bool], what: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise RuntimeError(f"{what} did not start in {seconds:.0f} s")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes], *leftovers: Path) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for path in leftovers:
        path.unlink(missing_ok=True)


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as asking:
        return asking.connect_ex((host, int(port))) == 0


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
