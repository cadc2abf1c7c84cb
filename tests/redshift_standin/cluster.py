"""Start and stop the stand-in: PostgreSQL on loopback, and the proxy before it, in one folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from tests.redshift_standin.control import Control, Fault, Query, Scan
from tests.redshift_standin.spectrum import Spectrum
from tests.redshift_standin.wire.history import History
from tests.redshift_standin.wire.server import Server
from tests.redshift_standin.wire.session import Shared

HERE = Path(__file__).parent
HOST = "127.0.0.1"
SUPERUSER = "rdsdb"
DATABASE = "analytics"
USER = "awsuser"
PASSWORD = "Passw0rd"  # noqa: S105 - the stand-in exists only during a test


class Unavailable(Exception):  # noqa: N818 - it is a reason to skip a test
    """PostgreSQL is not installed and cannot be installed."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def postgres_programs() -> Path:
    """Return the folder with initdb and postgres; root installs Debian's package if it is missing.

    Raises Unavailable if PostgreSQL is missing and cannot be installed.
    """
    for version in ("15", "16", "17"):
        folder = Path(f"/usr/lib/postgresql/{version}/bin")
        if (folder / "initdb").exists():
            return folder
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(
            "PostgreSQL is not installed. Install it as root: apt-get install postgresql"
        )
    # Without this setting, Debian's package creates and starts a server of its own.
    settings = Path("/etc/postgresql-common/createcluster.conf")
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\n")
    command = ["apt-get", "install", "-y", "--no-install-recommends", "postgresql"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        subprocess.run(["apt-get", "update"], env=environment, capture_output=True, check=False)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"PostgreSQL cannot be installed: {done.stderr[-300:]}")
    return postgres_programs()


@dataclass
class Postgres:
    """The server process of PostgreSQL, and its port."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, folder: Path) -> Postgres:
        programs, port, data = postgres_programs(), free_port(), folder / "data"
        # initdb refuses to run as root.
        account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        as_account: dict[str, Any] = (
            {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        )
        data.mkdir(mode=0o700)
        if account:
            os.chown(data, account.pw_uid, account.pw_gid)
            make_reachable(data, account.pw_uid)
        done = subprocess.run(
            [programs / "initdb", "-D", data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8",
             "--locale=C", "-N"],
            cwd="/", capture_output=True, text=True, check=False, **as_account,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")
        with (data / "postgresql.conf").open("a") as file:
            file.write(
                f"""
listen_addresses = '{HOST}'
port = {port}
unix_socket_directories = ''
# The data does not have to survive a crash.
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
shared_buffers = 128MB
work_mem = 32MB
jit = off
# A large external table has thousands of partitions.
max_connections = 80
max_locks_per_transaction = 2048
allow_system_table_mods = on
track_commit_timestamp = on
password_encryption = md5
timezone = 'UTC'
log_min_messages = warning
"""
            )
        (data / "pg_hba.conf").write_text(
            f"host all {SUPERUSER} {HOST}/32 trust\nhost all all {HOST}/32 md5\n"
        )
        with (folder / "postgres.log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_account,
            )
        server = cls(process, port)
        for _ in range(200):
            with contextlib.suppress(psycopg2.OperationalError):
                server.connect("postgres").close()
                return server
            if process.poll() is not None:
                break
            time.sleep(0.05)
        server.stop()
        raise RuntimeError(
            f"PostgreSQL did not start: {(folder / 'postgres.log').read_text()[-2000:]}"
        )

    def connect(self, database: str = DATABASE) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=HOST, port=self.port, user=SUPERUSER, dbname=database, application_name="stand-in"
        )

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def bootstrap(self) -> None:
        """Create the database, its administrator, and Redshift's catalogue and functions."""
        connection = self.connect("postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create database {DATABASE}")
        connection.close()
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            for name in ("functions.sql", "catalog.sql"):
                cursor.execute((HERE / name).read_text(encoding="utf-8"))
            cursor.execute(f"create role {USER} login superuser password %s", (PASSWORD,))
            cursor.execute(f"alter database {DATABASE} owner to {USER}")
            cursor.execute(f"grant temp on database {DATABASE} to public")
            cursor.execute("grant create, usage on schema public to public")
            cursor.execute(f"alter database {DATABASE} set search_path = '$user', public")
        connection.close()


def make_reachable(folder: Path, uid: int) -> None:
    """Let PostgreSQL's account enter the folders above its data. Pytest creates them as 0700."""
    for parent in folder.parents:
        status = parent.stat()
        if status.st_uid != uid and not status.st_mode & 0o001:
            parent.chmod(status.st_mode | 0o011)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for the loopback address, and its key."""
    cert, key = folder / "server.crt", folder / "server.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=redshift-stand-in",
            "-addext", f"subjectAltName=IP:{HOST},DNS:localhost",
            "-keyout", key, "-out", cert,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


class Cluster:
    """A running stand-in. `folder` holds its data, its logs and the control folder.

    The proxy runs in a thread of this process. A call that blocks without releasing the
    interpreter, such as psycopg2's cancel(), blocks the proxy too. `python -m
    tests.redshift_standin` runs the stand-in in a process of its own.
    """

    host = HOST
    user = USER
    password = PASSWORD
    database = DATABASE

    def __init__(
        self, folder: Path, postgres: Postgres, port: int, s3_endpoint: str | None
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.port = port
        self.s3_endpoint = s3_endpoint
        self.control = Control(folder / "control")
        self.certificate, self._key = certificate(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="redshift stand-in", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._server: Server | None = None

    @classmethod
    @contextlib.contextmanager
    def start(
        cls, folder: Path, s3_endpoint: str | None = None, port: int | None = None
    ) -> Iterator[Cluster]:
        """Start a new stand-in in `folder` and stop it when the block ends.

        The folder of an earlier stand-in is emptied. Raises FileExistsError if the folder holds
        other files.
        """
        folder = folder.resolve()
        if folder.exists() and any(folder.iterdir()) and not (folder / "control").exists():
            raise FileExistsError(
                f"{folder} is not empty and not the folder of a stand-in. Give another folder."
            )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        postgres = Postgres.start(folder)
        try:
            postgres.bootstrap()
            cluster = cls(folder, postgres, port or free_port(), s3_endpoint)
            cluster._start_proxy()
            try:
                yield cluster
            finally:
                cluster._stop_proxy()
        finally:
            postgres.stop()

    # The thread of the proxy
    # ---------------------------------------------------------------

    def _start_proxy(self) -> None:
        self._thread.start()
        if not self._started.wait(30) or self._failure:
            raise RuntimeError("the proxy did not start") from self._failure

    def _serve(self) -> None:
        logger = logging.getLogger(__package__)
        handler = logging.FileHandler(self.folder / "proxy.log")
        logger.addHandler(handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificate, self._key)
        asyncio.set_event_loop(self._loop)
        try:
            spectrum = Spectrum(self.postgres.connect, self.s3_endpoint)
            history = History(self.control, DATABASE, self.postgres.connect)
            self._server = Server(self.postgres.port, Shared(self.control, spectrum, history), tls)
            listener = self._loop.run_until_complete(
                asyncio.start_server(self._server.accept, HOST, self.port)
            )
        except BaseException as error:  # noqa: BLE001 - _start_proxy() raises it
            self._failure = error
            self._started.set()
            return
        self._started.set()
        try:
            self._loop.run_forever()
        finally:
            listener.close()
            self._server.stop()
            with contextlib.suppress(RuntimeError):
                self._loop.run_until_complete(asyncio.sleep(0.05))
            logger.removeHandler(handler)
            handler.close()

    def _stop_proxy(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    # What a test uses
    # -------------------------------------------------------------------------------

    @property
    def login(self) -> dict[str, str | int]:
        """The administrator's login, with the keys of AWS's secret for a Redshift user."""
        return {
            "engine": "redshift",
            "host": self.host,
            "port": self.port,
            "username": self.user,
            "password": self.password,
            "dbname": self.database,
        }

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process uses this stand-in as Redshift.

        They also make the emulator the process's S3.
        """
        found = {
            "REDSHIFT_HOST": self.host,
            "REDSHIFT_PORT": str(self.port),
            "REDSHIFT_USERNAME": self.user,
            "REDSHIFT_PASSWORD": self.password,
            "REDSHIFT_DBNAME": self.database,
            # redshift_connector verifies the server's certificate with every sslmode of dbt's.
            "SSL_CERT_FILE": str(self.certificate),
        }
        if self.s3_endpoint:
            found |= {
                "AWS_ENDPOINT_URL": self.s3_endpoint,
                "AWS_ACCESS_KEY_ID": "stand-in",
                "AWS_SECRET_ACCESS_KEY": "stand-in",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        return found

    def superuser(self) -> psycopg2.extensions.connection:
        """Connect to PostgreSQL directly, without the proxy, as its superuser."""
        connection = self.postgres.connect()
        connection.autocommit = True
        return connection

    def queries(self, since: int = 0) -> list[Query]:
        return self.control.queries(since)

    def scans(self, since: int = 0) -> list[Scan]:
        return self.control.scans(since)

    def last_number(self) -> int:
        """Return the number of the newest statement, for use as `since` later."""
        return max((query.number for query in self.queries()), default=0)

    def inject(self, *faults: Fault) -> None:
        self.control.inject(*faults)
