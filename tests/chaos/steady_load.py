"""A steady load: so many executions are under way, and a new one is requested when one has ended. No backlog grows."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg

from tests.chaos.clients import Clients
from tests.chaos.harness import System

LOOK_SECONDS = 0.1


class SteadyLoad:
    """Requests from a thread of its own, until it is stopped."""

    def __init__(self, system: System, level: int, body: Mapping[str, Any]) -> None:
        """`level` executions of what `body` asks for."""
        self._system = system
        self._level = level
        self._body = body
        self._made: list[Clients] = []
        self._enough = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self._done = self._thread.submit(self._run)

    def stop(self) -> list[UUID]:
        """Request no more; what was accepted. Raises what went wrong on the way."""
        self._enough.set()
        self._thread.shutdown()
        self._done.result()
        return [id for clients in self._made for id in clients.journal.read().values()]

    def _run(self) -> None:
        requested, ended, position = 0, 0, 0
        sql = (
            "SELECT count(*), max(notification_id) FROM executions.events"
            " WHERE notification_id > %s AND topic = 'execution.finished'"
        )
        with psycopg.connect(self._system.settings.database_url, autocommit=True) as connection:
            while not self._enough.wait(LOOK_SECONDS):
                found, last = connection.execute(sql, (position,)).fetchone() or (0, None)
                ended, position = ended + found, last or position
                if missing := self._level - (requested - ended):
                    self._request(missing)
                    requested += missing

    def _request(self, count: int) -> None:
        """Returns when all of them are accepted."""
        clients = Clients(self._system, seed=len(self._made), count=2, body=self._body)
        self._made.append(clients)
        clients.start(count)
        clients.join()
