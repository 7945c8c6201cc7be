"""The User aggregate: a person, known by an opaque id; names live outside the log."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.events import Actor, RecordedAggregate


def user_uuid(login: str) -> UUID:
    """The id of a user is derived from the login name."""
    return uuid5(NAMESPACE_URL, f"testmesh:user:{login}")


class User(RecordedAggregate):
    """A person. Passwords arrive with login; until then a user acts through API keys."""

    TOPIC = "user"

    class Event(RecordedAggregate.Event):
        """Base of the user's events."""

    class Registered(Event, RecordedAggregate.Created):
        """The user exists."""

        TOPIC = "user.registered"

        def apply(self, aggregate: User) -> None:
            """Active from the start."""
            aggregate.workspace, aggregate.disabled = self.workspace, False

    Created = Registered

    class Disabled(Event):
        """The user may do nothing any more."""

        TOPIC = "user.disabled"

        def apply(self, aggregate: User) -> None:
            """Shut out."""
            aggregate.disabled = True

    class Enabled(Event):
        """The user may act again."""

        TOPIC = "user.enabled"

        def apply(self, aggregate: User) -> None:
            """Let in."""
            aggregate.disabled = False

    if TYPE_CHECKING:
        disabled: bool

    @classmethod
    def register(cls, by: Actor, login: str, workspace: str) -> User:
        """Make a user known."""
        user: User = cls._begin(cls.Registered, by, id=user_uuid(login), workspace=workspace)
        return user

    def disable(self, by: Actor) -> None:
        """Shut the user out."""
        if not self.disabled:
            self._record(self.Disabled, by)

    def enable(self, by: Actor) -> None:
        """Let the user in again."""
        if self.disabled:
            self._record(self.Enabled, by)
