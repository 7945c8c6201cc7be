"""The served application for tests of this face."""

from __future__ import annotations

from tests.support.served import foreign, impatient, room, server, settings

__all__ = ["foreign", "impatient", "room", "server", "settings"]
