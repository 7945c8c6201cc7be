"""A disk of its own for a server: a file with a file system, mounted, which can be filled up to the last byte."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

BALLAST = "ballast"
SBIN = ":/usr/sbin:/sbin"
"""Where mkfs is, also where PATH does not say so."""


class CannotMount(Exception):
    """This machine does not let us mount a file; the text says why."""


class SmallDisk:
    """An ext4 file system in a sparse file beside `place`, mounted there. What syncs to it syncs to the disk below."""

    def __init__(self, place: Path, mebibytes: int = 4096) -> None:
        """CannotMount where that is not possible, as without root."""
        self._place, self._image = place, place.with_name(f"{place.name}.disk")
        place.mkdir(mode=0o700)
        with self._image.open("wb") as image:
            image.truncate(mebibytes << 20)
        try:
            # Without blocks reserved for root: PostgreSQL runs as somebody else, and 0 left is to be 0 for all.
            _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
            _run("mount", "-o", "loop", str(self._image), str(place))
        except CannotMount:
            self._image.unlink()
            place.rmdir()
            raise

    @property
    def left(self) -> int:
        """Bytes that can still be written."""
        now = os.statvfs(self._place)
        return now.f_bavail * now.f_frsize

    def fill(self) -> int:
        """Take all that is left; the bytes that are left then."""
        with (self._place / BALLAST).open("ab") as file:
            end, piece = os.fstat(file.fileno()).st_size, self.left
            while piece >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), end, piece)
                    end += piece
                    piece = min(piece, self.left)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    end = os.fstat(file.fileno()).st_size
                    piece //= 2
        return self.left

    def free(self) -> int:
        """Give it back; the bytes that are left then."""
        (self._place / BALLAST).unlink(missing_ok=True)
        return self.left

    def unmount(self) -> None:
        """Let go of it, whoever still uses it."""
        subprocess.run(["umount", "-l", str(self._place)], capture_output=True, check=False)


def _run(*argv: str) -> None:
    environ = {**os.environ, "PATH": os.environ.get("PATH", os.defpath) + SBIN}
    try:
        done = subprocess.run(argv, capture_output=True, check=False, env=environ)
    except OSError as error:
        raise CannotMount(f"{argv[0]}: {error.strerror}") from error
    if done.returncode:
        raise CannotMount(f"{argv[0]}: {' '.join(done.stderr.decode(errors='replace').split())}")
