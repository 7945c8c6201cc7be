"""The Workspace aggregate: the tenant boundary, and who belongs to it in which role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import Conflict, NotFound
from domain.events import Actor, RecordedAggregate

Role = Literal["viewer", "editor", "admin", "owner"]
ROLES: tuple[Role, ...] = ("viewer", "editor", "admin", "owner")


def workspace_uuid(name: str) -> UUID:
    """The id of a workspace is derived from its first name, so that two first starts make one."""
    return uuid5(NAMESPACE_URL, f"testmesh:workspace:{name}")


class Workspace(RecordedAggregate):
    """A team's own room."""

    TOPIC = "workspace"

    class Event(RecordedAggregate.Event):
        """Base of the workspace's events."""

    class Opened(Event, RecordedAggregate.Created):
        """The workspace exists."""

        TOPIC = "workspace.opened"
        name: str

        def apply(self, aggregate: Workspace) -> None:
            """Empty at first."""
            aggregate.workspace, aggregate.name, aggregate.members = self.workspace, self.name, {}

    Created = Opened

    class MemberAdded(Event):
        """A user belongs to the workspace."""

        TOPIC = "workspace.member_added"
        user: str
        role: str

        def apply(self, aggregate: Workspace) -> None:
            """One role a member."""
            aggregate.members = {**aggregate.members, self.user: self.role}

    class MemberRemoved(Event):
        """A user no longer belongs to the workspace."""

        TOPIC = "workspace.member_removed"
        user: str

        def apply(self, aggregate: Workspace) -> None:
            """Forget the role."""
            aggregate.members = {user: role for user, role in aggregate.members.items() if user != self.user}

    if TYPE_CHECKING:
        name: str
        members: dict[str, str]

    @classmethod
    def open(cls, by: Actor, name: str) -> Workspace:
        """Open a workspace."""
        id = workspace_uuid(name)
        workspace: Workspace = cls._begin(cls.Opened, by, id=id, workspace=str(id), name=name)
        return workspace

    def add_member(self, by: Actor, user: str, role: Role) -> None:
        """Let a user in, or change the role; the last owner stays one."""
        if self.members.get(user) == role:
            return
        if role != "owner":
            self._keep_an_owner(user)
        self._record(self.MemberAdded, by, user=user, role=role)

    def remove_member(self, by: Actor, user: str) -> None:
        """Send a user out; the last owner stays."""
        if user not in self.members:
            raise NotFound(f"user {user} is not a member of workspace {self.name}")
        self._keep_an_owner(user)
        self._record(self.MemberRemoved, by, user=user)

    def _keep_an_owner(self, user: str) -> None:
        if [u for u, role in self.members.items() if role == "owner"] == [user]:
            raise Conflict("the last owner stays an owner; make somebody else an owner first", code="last_owner")
