"""The supervisor goes on whatever a server of its own meets."""

from __future__ import annotations

import errno
import os
import threading

import psycopg
import pytest

from interfaces.supervisor import Supervisor


class Failing:
    """A server that cannot be started the first two times."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0
        self.started = threading.Event()

    def ensure(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise self.error
        self.started.set()

    def stop(self) -> None:
        """It needs none."""


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), id="the disk is full"),
        pytest.param(psycopg.OperationalError("server closed the connection unexpectedly"), id="it died as it came"),
    ],
)
def test_a_server_that_cannot_be_started_is_tried_again(error: Exception) -> None:
    server, stop = Failing(error), threading.Event()
    watching = threading.Thread(target=Supervisor([], [server], {}).watch, args=(stop, 0.01))
    watching.start()
    try:
        assert server.started.wait(10)
    finally:
        stop.set()
        watching.join()
