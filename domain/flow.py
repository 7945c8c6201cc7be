"""The Flow aggregate: a test as its team keeps it, every revision with its exact source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import Conflict
from domain.events import Actor, RecordedAggregate


def flow_uuid(workspace: str, project: str, key: str) -> UUID:
    """The id of a flow: its key is (workspace, project, path in the project or `flow.id`)."""
    return uuid5(NAMESPACE_URL, f"testmesh:flow:{workspace}:{project}:{key}")


class Flow(RecordedAggregate):
    """Registered, revised, renamed, tagged, archived, restored."""

    TOPIC = "flow"

    class Event(RecordedAggregate.Event):
        """Base of the flow's events."""

    class Registered(Event, RecordedAggregate.Created):
        """A flow is known; revision 1 is its exact source text, kept as a payload."""

        TOPIC = "flow.registered"
        project: str
        key: str
        path: str
        name: str
        description: str
        suite: str
        tags: Sequence[str]
        digest: str
        document: Mapping[str, Any]
        steps: int

        def apply(self, aggregate: Flow) -> None:
            """Revision 1."""
            aggregate.workspace = self.workspace
            aggregate.project, aggregate.key, aggregate.path = self.project, self.key, self.path
            aggregate.name, aggregate.tags = self.name, tuple(self.tags)
            aggregate.revision, aggregate.digest = 1, self.digest
            aggregate.documents = {1: self.document}
            aggregate.archived = False

    Created = Registered

    class Revised(Event):
        """A new revision of the source."""

        TOPIC = "flow.revised"
        revision: int
        name: str
        description: str
        suite: str
        digest: str
        document: Mapping[str, Any]
        steps: int

        def apply(self, aggregate: Flow) -> None:
            """The newest revision is what runs."""
            aggregate.revision, aggregate.digest, aggregate.name = self.revision, self.digest, self.name
            aggregate.documents = {**aggregate.documents, self.revision: self.document}

    class Renamed(Event):
        """The file moved within its project."""

        TOPIC = "flow.renamed"
        path: str

        def apply(self, aggregate: Flow) -> None:
            """Same flow, new place."""
            aggregate.path = self.path

    class Tagged(Event):
        """The tags are these now."""

        TOPIC = "flow.tagged"
        tags: Sequence[str]

        def apply(self, aggregate: Flow) -> None:
            """Replace the tags."""
            aggregate.tags = tuple(self.tags)

    class Archived(Event):
        """Out of the lists; its history stays."""

        TOPIC = "flow.archived"

        def apply(self, aggregate: Flow) -> None:
            """No more runs."""
            aggregate.archived = True

    class Restored(Event):
        """Back in the lists."""

        TOPIC = "flow.restored"

        def apply(self, aggregate: Flow) -> None:
            """Runs again."""
            aggregate.archived = False

    if TYPE_CHECKING:
        project: str
        key: str
        path: str
        name: str
        tags: tuple[str, ...]
        revision: int
        digest: str
        documents: Mapping[int, Mapping[str, Any]]
        archived: bool

    @classmethod
    def thawed(cls, state: dict[str, Any]) -> dict[str, Any]:
        """JSON has neither numbers as keys nor tuples."""
        documents = {int(revision): document for revision, document in state["documents"].items()}
        return {**state, "documents": documents, "tags": tuple(state["tags"])}

    @classmethod
    def register(cls, by: Actor, *, workspace: str, project: str, key: str, **values: Any) -> Flow:
        """Make a flow known; `values` are the other fields of Registered."""
        id = flow_uuid(workspace, project, key)
        flow: Flow = cls._begin(cls.Registered, by, id=id, workspace=workspace, project=project, key=key, **values)
        return flow

    def revise(
        self,
        by: Actor,
        *,
        path: str,
        name: str,
        description: str,
        suite: str,
        tags: Sequence[str],
        digest: str,
        document: Mapping[str, Any],
        steps: int,
    ) -> None:
        """Bring the flow to this source; equal content records nothing."""
        if self.archived:
            self._record(self.Restored, by)
        if path != self.path:
            self._record(self.Renamed, by, path=path)
        if tuple(tags) != self.tags:
            self._record(self.Tagged, by, tags=tuple(tags))
        if digest != self.digest:
            values = {"name": name, "description": description, "suite": suite, "digest": digest}
            self._record(self.Revised, by, revision=self.revision + 1, document=document, steps=steps, **values)

    def tag(self, by: Actor, tags: Sequence[str]) -> None:
        """Replace the tags."""
        if tuple(tags) != self.tags:
            self._record(self.Tagged, by, tags=tuple(tags))

    def archive(self, by: Actor) -> None:
        """Take the flow out of use."""
        if self.archived:
            raise Conflict(f"flow {self.key} is already archived", code="already_archived")
        self._record(self.Archived, by)

    def restore(self, by: Actor) -> None:
        """Bring an archived flow back."""
        if not self.archived:
            raise Conflict(f"flow {self.key} is not archived", code="not_archived")
        self._record(self.Restored, by)

    def document_of(self, revision: int | None) -> Mapping[str, Any] | None:
        """Where the source of a revision is kept (the newest without a number); None when there is no such revision."""
        return self.documents.get(revision or self.revision)
