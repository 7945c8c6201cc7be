"""Commands on executions: request, cancel; and the records that a worker's attempt appends."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import orjson

from application.bundles import Bundle, sealed
from application.log import GroupFull, Log, SideWrite, VersionConflict
from application.payloads import Payloads, Reference
from application.queueing import QueueRules, Wish, decided
from domain.definition import FlowDefinition
from domain.errors import Conflict, NotFound
from domain.events import Actor
from domain.execution import Execution, ExecutionFinished
from domain.values import dataclass

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pinned:
    """The flow revision that an execution runs; None for an ad-hoc definition."""

    flow_id: str
    revision: int
    project: str
    document: Reference


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RunRequest:
    """What somebody wants run. `source` is the document's text, exactly."""

    workspace: str
    definition: FlowDefinition
    source: str
    pinned: Pinned | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    trigger: str = "api"
    seed: str | None = None
    case: str = ""
    """The key of the data row that this run is for."""
    bundle: Bundle = field(default_factory=Bundle)
    """The files that the flow names."""
    idempotency_key: str | None = None
    digest: str = ""
    """SHA-256 of the canonical request, compared when the same idempotency key comes again."""
    id: UUID | None = None
    """The id that follows from a schedule's tick: whatever was requested under it is this run."""
    wish: Wish = field(default_factory=Wish)
    """How it is to wait for its turn, beside what the flow says."""


class IdempotencyKeyReused(Conflict):
    """The same Idempotency-Key came with another request."""

    code = "idempotency_key_reused"


def execution_uuid(workspace: str, idempotency_key: str | None) -> UUID:
    """Random, or derived from the key so that accepting twice is the same execution."""
    return uuid5(NAMESPACE_URL, f"testmesh:run:{workspace}:{idempotency_key}") if idempotency_key else uuid4()


def request_digest(*parts: Any) -> str:
    """SHA-256 over the canonical JSON of the parts of a request."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).hexdigest()


class Executions:
    """The commands that faces and process managers use."""

    def __init__(self, log: Log, payloads: Payloads, rules: QueueRules | None = None) -> None:
        """`rules` are the server's, about waiting."""
        self.log = log
        self.payloads = payloads
        self._rules = rules or QueueRules()

    def request(self, by: Actor, request: RunRequest) -> tuple[UUID, int]:
        """Accept a run: its id and the position of the event. Durable when this returns."""
        id = request.id or execution_uuid(request.workspace, request.idempotency_key)
        document, side = sealed(self.payloads, request.workspace, request.source, request.bundle)
        values = self._values(request, document)
        try:
            try:
                return id, self.log.put(Execution.request_run(by, id=id, **values), side=side)
            except GroupFull as full:
                skipped = Execution.request_run(by, id=id, **values)
                skipped.skip(by, full.message)
                return id, self.log.put(skipped, side=side)
        except VersionConflict:
            if request.id is not None:
                return id, self.log.position_of(id)
            return self._same(self.log.load(Execution, id), request.workspace, request.digest)

    def _values(self, request: RunRequest, document: dict[str, Any]) -> dict[str, Any]:
        definition = request.definition
        return dict(
            workspace=request.workspace,
            project=request.pinned.project if request.pinned else "",
            flow_id=request.pinned.flow_id if request.pinned else None,
            flow_revision=request.pinned.revision if request.pinned else None,
            flow_name=definition.name,
            file=definition.file,
            document=document,
            variables=dict(request.variables),
            tags=list(request.tags or definition.tags),
            trigger=request.trigger,
            request_digest=request.digest,
            seed=request.seed or secrets.token_hex(16),
            on_worker_lost=definition.config.on_worker_lost,
            max_attempts=MAX_ATTEMPTS,
            timeout=definition.config.timeout,
            teardown_timeout=definition.config.teardown_timeout,
            case=request.case,
            **decided(definition, request.wish, self._rules).plain(),
        )

    def accepted(self, workspace: str, idempotency_key: str, digest: str) -> tuple[UUID, int] | None:
        """What this key was answered before; None for a new key. Refused when the request was another."""
        stored = self.log.find(Execution, execution_uuid(workspace, idempotency_key))
        return None if stored is None else self._same(stored, workspace, digest)

    def cancel(self, by: Actor, workspace: str, id: UUID, reason: str = "") -> int:
        """Ask an execution to stop; the position of the event. Refused when it has finished."""
        return cancel(self.log, by, id, reason, workspace)

    def get(self, workspace: str, id: UUID) -> Execution:
        """The execution, if it is one of this workspace."""
        execution = self.log.find(Execution, id)
        if execution is None or execution.workspace != workspace:
            raise NotFound(f"there is no execution {id} in this workspace")
        return execution

    def source(self, execution: Execution) -> str:
        """The exact text of the definition that the execution is pinned to."""
        return self.payloads.open(execution.workspace, execution.request.document).decode()

    def _same(self, stored: Execution, workspace: str, digest: str) -> tuple[UUID, int]:
        """The same key again: the same answer for the same request, a refusal for another."""
        if stored.workspace != workspace or stored.request.request_digest != digest:
            raise IdempotencyKeyReused("this Idempotency-Key was used for another request; use a new key for a new request")
        return stored.id, self.log.position_of(stored.id)


def cancel(log: Log, by: Actor, id: UUID, reason: str, workspace: str | None = None) -> int:
    """Ask an execution to stop, of any workspace where none is given; the position of the event. ExecutionFinished when it
    has ended."""
    while True:
        execution = log.find(Execution, id)
        if execution is None or workspace not in (None, execution.workspace):
            raise NotFound(f"there is no execution {id} in this workspace")
        execution.request_cancel(by, reason)
        try:
            return log.put(execution, side=_cancel_hint(id))
        except VersionConflict:
            continue


def _cancel_hint(id: UUID) -> list[SideWrite]:
    """Mark the lease (the heartbeat reads it) and ring the worker's bell."""
    return [
        SideWrite("UPDATE executions.leases SET cancel_requested = true WHERE execution = %s", (id,)),
        SideWrite("SELECT pg_notify('testmesh_cancel', %s)", (str(id),)),
    ]


def is_over(error: BaseException) -> bool:
    """Whether a refusal says that there is nothing left to do for this execution."""
    return isinstance(error, ExecutionFinished)
