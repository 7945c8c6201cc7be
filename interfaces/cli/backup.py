"""`testmesh admin backup` and `restore`: everything that cannot be made again, in one file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.up import config_option

if TYPE_CHECKING:
    from interfaces.backup.reading import Backup
    from interfaces.settings import Settings


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--with-key-file", is_flag=True, help="Put the key file in too. Who has the file can then read everything.")
@config_option
def backup(file: Path, with_key_file: bool, config: str | None) -> int:
    """Write everything that cannot be made again into a new FILE, while the system goes on.

    Documents, exchanges and other payloads are in it as they are stored: encrypted under keys that the key file wraps. The
    key file is not in it, so that a backup alone tells nobody what they hold: keep a copy of it in another place.
    """
    from interfaces.backup.writing import write_backup
    from interfaces.cli.admin import _platform

    with _platform(config) as platform:
        made = write_backup(file, platform.settings.database_of, platform.key, with_key=with_key_file)
        key_file = platform.settings.key_file
    counts = ", ".join(f"{held.rows} {name}" for name, held in made.parts.items() if held.rows and name.endswith("/events"))
    print(f"{file}: {counts or 'no events'}, as of {made.made_at}", file=sys.stderr)
    if with_key_file:
        print(f"the key file {key_file} is in it: keep it as you keep passwords", file=sys.stderr)
    else:
        print(f"the key file {key_file} is not in it: keep a copy elsewhere, a restore needs it", file=sys.stderr)
    return ExitCode.PASSED


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--key-file", type=click.Path(dir_okay=False, path_type=Path), help="The key file of the backup.")
@config_option
def restore(file: Path, key_file: Path | None, config: str | None) -> int:
    """Restore FILE into an empty data folder or database, and build the read models.

    The file is checked from its first to its last byte before anything is written. Executions that were under way go on: a
    worker that takes no part any more is lost, and each flow's `on_worker_lost` says what follows.
    """
    from interfaces.backup import restoring
    from interfaces.backup.reading import open_backup
    from interfaces.bootstrap import Platform
    from interfaces.cli.up import _settings

    settings = _settings(config)
    with open_backup(file) as opened:
        key = _key(opened, _key_place(settings), key_file)
        settings, stop = _target(settings)
        try:
            platform = Platform(settings)
            try:
                restoring.check_empty(platform)
                _keep_key(Path(settings.key_file), key)
                heads = restoring.restore(platform, opened)
            finally:
                platform.close()
            _forget_queue(settings)
        finally:
            stop()
        print(
            f"restored as of {opened.manifest.made_at}: {', '.join(f'{log} to {heads[log]}' for log in heads)}", file=sys.stderr
        )
    return ExitCode.PASSED


def _key_place(settings: Settings) -> Path:
    """Where the key file belongs."""
    from domain.errors import Invalid
    from interfaces.adapters.embedded import data_root

    if settings.key_file:
        return Path(settings.key_file)
    if settings.database_url:
        raise Invalid("a server with its own database needs TESTMESH_KEY_FILE, where the backup's key file is or will be")
    return data_root() / "key"


def _key(opened: Backup, place: Path, given: Path | None) -> bytes:
    """The backup's key: the one in place, the one given, or the one in the file."""
    from domain.errors import Conflict, NotFound
    from interfaces.backup.layout import key_check
    from interfaces.bootstrap import read_key

    source = place if place.exists() else given
    key = read_key(source) if source is not None else opened.key
    if key is None:
        raise NotFound(
            f"the backup does not hold its key file, and there is none at {place}",
            remedy=f"copy the key file, which was named when the backup was made, to {place}, or give it with --key-file",
        )
    if key_check(key) != opened.manifest.key_check:
        raise Conflict(
            f"{source or 'the key in the file'} is not the key file of this backup", remedy="give the right one with --key-file"
        )
    return key


def _target(settings: Settings) -> tuple[Settings, Callable[[], None]]:
    """Settings with a database, and what to call afterwards. Without a URL, it is a data folder of this machine."""
    from interfaces.adapters.embedded import RootLock, data_root
    from interfaces.adapters.embedded_postgres import EmbeddedPostgres

    if settings.database_url:
        return settings, lambda: None
    root = data_root()
    root.mkdir(parents=True, exist_ok=True)
    lock, postgres = RootLock(root), EmbeddedPostgres(root)
    lock.take()

    def stop() -> None:
        postgres.stop()
        lock.release()

    try:
        url = postgres.start()
    except BaseException:
        stop()
        raise
    return replace(settings, database_url=url, key_file=settings.key_file or str(root / "key")), stop


def _keep_key(place: Path, key: bytes) -> None:
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.hex() + "\n")


def _forget_queue(settings: Settings) -> None:
    """A queue that is there already holds another history: without its mark, the sweeper fills it again."""
    from domain.errors import Unavailable
    from interfaces.adapters.redis_command_queue import RedisCommandQueue

    if not settings.redis_url:
        return
    queue = RedisCommandQueue(settings.redis_url, settings.queue_shards)
    try:
        queue.end_epoch()
    except Unavailable as error:
        print(f"warning: {error}; what waits is sent again within two minutes of the start", file=sys.stderr)
    finally:
        queue.close()
