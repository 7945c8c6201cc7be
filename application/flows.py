"""Commands on flows: push a bundle, tag, archive, restore; and the source of a revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal
from uuid import UUID

from application.bundles import Bundle, opened, revision_digest, sealed
from application.engine.action import Action
from application.executions import Pinned
from application.flow_documents import read_flow
from application.log import Log, VersionConflict
from application.payloads import Payloads, SealingOnce
from domain.definition import FlowDefinition
from domain.errors import Conflict, Invalid, LimitExceeded, NotFound, Problem
from domain.events import Actor
from domain.flow import Flow, flow_uuid
from domain.limits import LIMITS
from domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One flow of a push: its path in the project, its text, and the files that it names."""

    path: str
    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did with one document."""

    id: UUID
    path: str
    name: str
    revision: int
    outcome: Literal["registered", "revised", "unchanged"]
    warnings: tuple[Problem, ...] = ()


class Flows:
    """The commands that faces use."""

    def __init__(self, log: Log, payloads: Payloads, actions: Mapping[str, Action]) -> None:
        self.log = log
        self._payloads = payloads
        self._actions = actions

    def push(
        self, by: Actor, workspace: str, project: str, documents: Sequence[Document], *, prune: Sequence[UUID] = ()
    ) -> tuple[list[Pushed], int]:
        """Register or revise flows, all checked before the first is stored; the position after the last."""
        self._check_size(documents)
        read = [(document, *self._read(document)) for document in documents]
        self._check_ids(read)
        pushed, position = [], self.log.head()
        payloads = SealingOnce(self._payloads)
        for document, definition, warnings in read:
            done, position = self._store(by, workspace, project, document, definition, warnings, payloads)
            pushed.append(done)
        for id in prune:
            position = self.archive(by, workspace, id)
        return pushed, position

    def archive(self, by: Actor, workspace: str, id: UUID) -> int:
        """Take a flow out of use."""
        flow = self.get(workspace, id)
        flow.archive(by)
        return self.log.put(flow)

    def restore(self, by: Actor, workspace: str, id: UUID) -> int:
        """Bring an archived flow back."""
        flow = self.get(workspace, id)
        flow.restore(by)
        return self.log.put(flow)

    def tag(self, by: Actor, workspace: str, id: UUID, tags: Sequence[str]) -> int:
        """Replace a flow's tags."""
        flow = self.get(workspace, id)
        flow.tag(by, tags)
        return self.log.put(flow)

    def get(self, workspace: str, id: UUID) -> Flow:
        """The flow, if it is one of this workspace."""
        flow = self.log.find(Flow, id)
        if flow is None or flow.workspace != workspace:
            raise NotFound(f"there is no flow {id} in this workspace")
        return flow

    def source(self, workspace: str, id: UUID, revision: int | None = None) -> tuple[Flow, int, str]:
        """The flow, the number of the revision, and its exact text."""
        flow = self.get(workspace, id)
        reference = flow.document_of(revision)
        if reference is None:
            raise NotFound(f"flow {flow.name} has no revision {revision}; the newest is {flow.revision}")
        return flow, revision or flow.revision, self._payloads.open(workspace, reference).decode()

    def runnable(
        self, workspace: str, id: UUID, revision: int | None = None, *, archived: bool = False
    ) -> tuple[FlowDefinition, str, Pinned, Bundle]:
        """What an execution of a flow needs: definition, text, what it is pinned to, files. Archived flows do not run,
        but where it was decided before that they shall (`archived`)."""
        flow, number, text = self.source(workspace, id, revision)
        if flow.archived and not archived:
            raise Conflict(f"flow {flow.name} is archived; restore it before you run it", code="flow_archived")
        definition, _ = read_flow(text, file=flow.path, actions=self._actions)
        document = flow.documents[number]
        bundle = opened(self._payloads, workspace, document)
        return definition, text, Pinned(str(id), number, flow.project, document), bundle

    def _read(self, document: Document) -> tuple[FlowDefinition, tuple[Problem, ...]]:
        return read_flow(document.text, file=document.path, actions=self._actions)

    def _store(
        self,
        by: Actor,
        workspace: str,
        project: str,
        document: Document,
        definition: FlowDefinition,
        warnings: tuple[Problem, ...],
        payloads: SealingOnce,
    ) -> tuple[Pushed, int]:
        key = definition.id or document.path
        kept, side = sealed(payloads, workspace, document.text, Bundle(document.path, document.files))
        values: dict[str, Any] = {
            "path": document.path,
            "name": definition.name,
            "description": definition.description or "",
            "suite": definition.suite or "",
            "tags": list(definition.tags),
            "digest": revision_digest(document.text, document.files),
            "document": kept,
            "steps": len(definition.setup) + len(definition.steps) + len(definition.teardown),
        }
        while True:
            flow = self.log.find(Flow, flow_uuid(workspace, project, key))
            before = flow.revision if flow else 0
            if flow is None:
                flow = Flow.register(by, workspace=workspace, project=project, key=key, **values)
            else:
                flow.revise(by, **values)
            try:
                position = self.log.put(flow, side=side)
            except VersionConflict:
                continue
            payloads.ended(committed=flow.revision > before)
            outcome: Literal["registered", "revised", "unchanged"] = (
                "registered" if not before else "revised" if flow.revision > before else "unchanged"
            )
            return Pushed(flow.id, document.path, flow.name, flow.revision, outcome, warnings), position

    @staticmethod
    def _check_size(documents: Sequence[Document]) -> None:
        if len(documents) > LIMITS.push_documents:
            raise LimitExceeded(f"a push may have {LIMITS.push_documents} documents, this one has {len(documents)}")
        files = {path: content for document in documents for path, content in document.files.items()}
        size = sum(len(document.text.encode()) for document in documents) + sum(map(len, files.values()))
        if size > LIMITS.push_bytes:
            raise LimitExceeded(f"a push may have {LIMITS.push_bytes} bytes, this one has {size}: push fewer at a time")

    @staticmethod
    def _check_ids(read: Sequence[tuple[Document, FlowDefinition, tuple[Problem, ...]]]) -> None:
        seen: dict[str, str] = {}
        for document, definition, _ in read:
            key = definition.id or document.path
            if key in seen:
                raise Invalid(
                    f"{seen[key]} and {document.path} are the same flow: both have the id {key}",
                    code="duplicate_flow_id",
                    remedy="give one of them another id",
                )
            seen[key] = document.path
