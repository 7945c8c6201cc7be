"""The in-memory twin of the queue of run commands: it repeats, reorders and forgets as Redis may."""

from __future__ import annotations

from itertools import count
from uuid import UUID

from application.ports import CommandQueue, Delivery, RunCommand


def _name(item: tuple[str, RunCommand]) -> tuple[UUID, int, str, int]:
    command = item[1]
    return command.execution, command.attempt, command.kind, command.number


class MemoryQueue(CommandQueue):
    """Entries that nobody has taken, those that a receiver took and has not acknowledged, and the marks of the epoch."""

    def __init__(self) -> None:
        self.unread: dict[str, RunCommand] = {}
        self.pending: dict[str, RunCommand] = {}
        self.delivered: list[Delivery] = []
        self.buried: list[Delivery] = []
        self._numbers = count(1)
        self._epoch: str | None = None
        self._next: str | None = None

    def send(self, commands: list[RunCommand]) -> None:
        """Add commands."""
        for command in commands:
            self.unread[f"{next(self._numbers)}-0"] = command

    def take(self, number: int = 0) -> Delivery | None:
        """One of the entries that nobody has taken, not always the oldest. The same number is the same command, in whatever
        order they came."""
        if not self.unread:
            return None
        entry, _ = sorted(self.unread.items(), key=_name)[number % len(self.unread)]
        self.pending[entry] = self.unread.pop(entry)
        self.delivered.append(Delivery(entry, self.pending[entry]))
        return self.delivered[-1]

    def adopt(self) -> Delivery | None:
        """The oldest entry that was taken and not acknowledged."""
        return next((Delivery(entry, command) for entry, command in self.pending.items()), None)

    def done(self, delivery: Delivery) -> None:
        """Acknowledge and delete."""
        self.pending.pop(delivery.entry, None)

    def bury(self, delivery: Delivery) -> None:
        """Park what can never be run."""
        self.buried.append(delivery)
        self.done(delivery)

    def holds(self, command: RunCommand) -> bool:
        """Whether somebody will still be given this command."""
        return command in self.unread.values() or command in self.pending.values()

    def wipe(self) -> None:
        """Forget everything, as FLUSHALL or a restart without a file does."""
        self.unread.clear()
        self.pending.clear()
        self._epoch = self._next = None

    def epoch(self) -> str | None:
        """The mark that nothing was lost since."""
        return self._epoch

    def begin_epoch(self, nonce: str) -> None:
        """Note the mark to be."""
        self._next = nonce

    def commit_epoch(self, nonce: str) -> bool:
        """Make it current, unless it was lost meanwhile."""
        if self._next != nonce:
            return False
        self._epoch, self._next = self._next, None
        return True

    def forget_receivers(self, idle_seconds: float) -> int:
        """Receivers are not kept here."""
        return 0
