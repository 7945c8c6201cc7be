"""Folders of attempts on workers: private, gone with their attempt, and swept when a killed worker has left some."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "testmesh-worker-"
LOCK = ".lock"
YOUNG_SECONDS = 60.0
"""A folder without a lock file that is younger than this is just being made."""
logger = logging.getLogger("testmesh.folders")


class Folders:
    """Makes folders below one of this process, which holds a lock in it as long as it lives. Safe from any thread."""

    def __init__(self, base: Path | None = None) -> None:
        """`base` is where the process has its folder; the system's folder for temporary files unless given."""
        self._base = base
        self._home: Path | None = None
        self._lock: int | None = None
        self._guard = threading.Lock()

    def make(self) -> Path:
        """A new empty folder that only this user may enter. OSError when there is no room."""
        try:
            return Path(tempfile.mkdtemp(prefix="attempt-", dir=self._own()))
        except FileNotFoundError:  # somebody cleans the system's temporary files
            self._leave()
            return Path(tempfile.mkdtemp(prefix="attempt-", dir=self._own()))

    def remove(self, folder: Path) -> None:
        """Remove a folder with all that is in it."""
        try:
            folder.rmdir()
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove everything of this process."""
        home = self._home
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
        self._leave()

    def sweep(self) -> int:
        """Remove what processes have left that are not there any more; how many there were."""
        base = self._base or Path(tempfile.gettempdir())
        with suppress(OSError):
            return sum(_swept(path) for path in base.glob(f"{PREFIX}*") if path != self._home)
        return 0

    def _own(self) -> Path:
        with self._guard:
            while self._home is None:
                home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._base))
                lock = _locked(home)
                if lock is not None:
                    self._home, self._lock = home, lock
            return self._home

    def _leave(self) -> None:
        with self._guard:
            lock, self._home, self._lock = self._lock, None, None
            if lock is not None:
                os.close(lock)


def _locked(home: Path) -> int | None:
    """A lock on a folder that was just made; None when a sweep was faster and the folder is gone, or will be."""
    try:
        lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(home / LOCK).st_ino == os.fstat(lock).st_ino:
            return lock
    os.close(lock)
    return None


def _swept(home: Path) -> bool:
    """Whether the folder belonged to nobody, and is gone now. Others may sweep at the same time."""
    try:
        found = home.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return False
    try:
        lock = os.open(home / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - found.st_mtime >= YOUNG_SECONDS and _removed(home)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _removed(home)
    except OSError:
        return False
    finally:
        os.close(lock)


def _removed(home: Path) -> bool:
    shutil.rmtree(home, ignore_errors=True)
    logger.info("removed %s, which a worker had left", home)
    return True
