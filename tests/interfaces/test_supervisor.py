"""The supervisor goes on whatever a server of its own meets."""

from __future__ import annotations

import errno
import os
import threading

from interfaces.supervisor import Supervisor


class OnFullDisk:
    """A server that cannot be started while there is no room: for its first two times."""

    def __init__(self) -> None:
        self.tries = 0
        self.started = threading.Event()

    def ensure(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.started.set()

    def stop(self) -> None:
        """It needs none."""


def test_a_server_that_a_full_disk_keeps_down_is_started_once_there_is_room() -> None:
    server, stop = OnFullDisk(), threading.Event()
    watching = threading.Thread(target=Supervisor([], [server], {}).watch, args=(stop, 0.01))
    watching.start()
    try:
        assert server.started.wait(10)
    finally:
        stop.set()
        watching.join()
