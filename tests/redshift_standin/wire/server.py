"""Accepts clients and starts a session for each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl

from tests.redshift_standin.wire.channels import Channel, ConnectionLost, Postgres
from tests.redshift_standin.wire.login import CANCEL_REQUEST, log_in, pass_on_cancel, read_start
from tests.redshift_standin.wire.session import Session, Shared

log = logging.getLogger(__name__)


class Server:
    """Runs the sessions between clients and PostgreSQL's port."""

    def __init__(self, postgres_port: int, shared: Shared, tls: ssl.SSLContext | None) -> None:
        self._postgres_port = postgres_port
        self._shared = shared
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it or PostgreSQL closes the connection."""
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
        try:
            with contextlib.closing(Channel(reader, writer)) as client:
                await self._serve(client)
        except (ConnectionLost, ConnectionError, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("a session failed")
        finally:
            if task:
                self._tasks.discard(task)

    async def _serve(self, client: Channel) -> None:
        code, data = await read_start(client, self._tls)
        with contextlib.closing(await Postgres.connect(self._postgres_port)) as postgres:
            if code == CANCEL_REQUEST:
                await pass_on_cancel(postgres, data)
                return
            login = await log_in(client, postgres, self._shared.control, data)
            if login:
                await Session(self._shared, client, postgres, login).run()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
