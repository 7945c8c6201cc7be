"""Settings for commands that work on a database directly: that of the settings, or the embedded one of the data folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from domain.errors import Conflict, NotFound
from interfaces.adapters.embedded import RootLock
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.settings import Settings


def embedded_settings(settings: Settings, root: Path) -> tuple[Settings, Callable[[], None]]:
    """Settings with a database, and what to call afterwards. A running `up` keeps its PostgreSQL, and its Valkey is named;
    else PostgreSQL is started for this command alone. NotFound when there is no data folder yet, Unavailable when the
    PostgreSQL of a running `up` does not answer."""
    if settings.database_url:
        return settings, lambda: None
    if not (root / "postgres" / "data").exists():
        raise NotFound(
            f"there is no database: {root} holds none, and TESTMESH_DATABASE_URL is not set", remedy="start `testmesh up` once"
        )
    postgres = EmbeddedPostgres(root)
    lock = RootLock(root)
    try:
        lock.take()
    except Conflict:
        url, stop = postgres.running_url(), lambda: None
        settings = replace(settings, redis_url=settings.redis_url or EmbeddedValkey(root).known_url())
    else:
        url = postgres.start()

        def stop() -> None:
            postgres.stop()
            lock.release()

    key_file, checkpoints = settings.key_file or str(root / "key"), settings.checkpoint_file or str(root / "checkpoints")
    return replace(settings, database_url=url, key_file=key_file, checkpoint_file=checkpoints), stop
