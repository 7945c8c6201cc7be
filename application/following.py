"""Following a log: whoever acts on new events takes them as soon as they are announced, and looks each second all the same."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from application.group_commit import is_connection_error
from domain.errors import Unavailable

if TYPE_CHECKING:
    import psycopg

    from application.log import Log

POLL_SECONDS = 1.0
PAUSE_SECONDS = 0.5
TOGETHER_SECONDS = 0.001
"""How long events that come close together are waited for, so that they are taken in one step."""
logger = logging.getLogger("testmesh.following")


def follow(log: Log, step: Callable[[], int], stop: threading.Event, who: str) -> None:
    """Call `step` until it takes nothing (0) whenever something is new in the log, until stopped. A notification is a hint, a
    look each second the truth. Whatever breaks, it begins anew; `who` is named in what it says."""
    assert log.database is not None
    while not stop.is_set():
        try:
            with log.database.connect() as connection:
                connection.execute(f"LISTEN testmesh_{log.name}".encode())
                _take(connection, step, stop, who)
        except Exception as error:
            if not is_connection_error(error):
                logger.exception("the %s failed; it goes on", who)
            stop.wait(PAUSE_SECONDS)


def _take(connection: psycopg.Connection[tuple[object, ...]], step: Callable[[], int], stop: threading.Event, who: str) -> None:
    while not stop.is_set():
        try:
            while step() and not stop.is_set():
                pass
        except Unavailable as error:
            logger.warning("the %s waits: %s", who, error)
            stop.wait(PAUSE_SECONDS)
            continue
        begun = time.monotonic()
        for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
            break
        if time.monotonic() - begun < TOGETHER_SECONDS:
            stop.wait(TOGETHER_SECONDS)
