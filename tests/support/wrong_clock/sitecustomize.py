"""Loaded by Python at its start where this folder is in PYTHONPATH: the wall clock of the process is wrong by as many seconds
as the file TESTMESH_TEST_CLOCK says at the time. Waiting goes by the monotonic clock, which stays right, as on a machine whose
clock is set. (libfaketime 0.9.10 does not do: with it time.sleep of Python 3.11 fails with EINVAL.)"""

import datetime
import os
import time
from pathlib import Path

_FILE = os.environ.get("TESTMESH_TEST_CLOCK", "")
_real_time, _Real = time.time, datetime.datetime
_known = [0.0, 0.0]
"""When the file was read last, and what it said."""


def _offset():
    now = time.monotonic()
    if now - _known[0] > 0.1:
        try:
            _known[:] = now, float(Path(_FILE).read_text() or 0)
        except (OSError, ValueError):
            _known[0] = now
    return _known[1]


class _Kind(type):
    """What is a date-time elsewhere is one here."""

    def __instancecheck__(cls, value):
        return isinstance(value, _Real)

    def __subclasscheck__(cls, kind):
        return issubclass(kind, _Real)


class _Wrong(_Real, metaclass=_Kind):
    def __new__(cls, *args, **kwargs):
        return _Real(*args, **kwargs)

    @classmethod
    def now(cls, tz=None):
        return _Real.now(tz) + datetime.timedelta(seconds=_offset())

    @classmethod
    def fromtimestamp(cls, *args, **kwargs):
        return _Real.fromtimestamp(*args, **kwargs)

    @classmethod
    def fromisoformat(cls, text):
        return _Real.fromisoformat(text)


if _FILE:
    time.time = lambda: _real_time() + _offset()
    datetime.datetime = _Wrong
