"""Projectors in processes of their own that fight for the same work: without the lock that keeps all but one idle."""

from __future__ import annotations

import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from application.database import Database
from application.event_store import PostgresLog
from projections.projector import Projector
from projections.registry import for_log

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def project(url: str) -> None:
    """Work until killed."""
    database = Database(url, size=4)
    log = PostgresLog("executions", database)
    projector = Projector(database.pool, database.connect, "executions", for_log("executions"), log.read)
    while True:
        if not projector.step():
            time.sleep(0.01)


def spawned(url: str) -> BaseProcess:
    """Such a process, at work within some milliseconds."""
    process = _CONTEXT.Process(target=project, args=(url,), daemon=True)
    process.start()
    return process
