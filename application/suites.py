"""Commands on suite runs: request, rerun what did not pass, cancel; and what is selected is found and frozen."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from posixpath import dirname, join, normpath
from typing import Any, Protocol
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from application.bundles import sealed
from application.executions import IdempotencyKeyReused
from application.flows import Flows
from application.log import Log, VersionConflict
from application.payloads import Payloads, SealingOnce
from application.queueing import QueueRules, Wish
from application.suite_plan import Member, Plan, Planning, cells_of
from domain.errors import Conflict, Invalid, LimitExceeded, NotFound
from domain.events import Actor
from domain.limits import LIMITS
from domain.suite_case import Case, case_uuid
from domain.suite_rules import check_time_limit
from domain.suite_run import PASSED, SuiteRun
from domain.values import dataclass


class FlowDirectory(Protocol):
    """Which flows a workspace has, from the read model."""

    def selected(
        self, workspace: str, *, project: str | None, folder: str | None, suite: str | None, tags: str | None
    ) -> list[UUID]:
        """The flows in use of this project, below this folder, of this suite, with tags that this expression wants."""
        ...

    def called(self, workspace: str, project: str, names: Sequence[str]) -> UUID | None:
        """The flow in use of a project that has one of these ids, keys, paths or names; the first that is found."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SuiteRequest:
    """What somebody wants run. `variables` win over those of members, rows and the matrix; `selection` is what is shown."""

    workspace: str
    members: Sequence[Member]
    name: str = ""
    selection: Mapping[str, Any] = field(default_factory=dict)
    matrix: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    """Of all executions; those of each flow unless given."""
    parallel: int | None = None
    fail_fast: bool = False
    timeout: float = 0.0
    """Seconds that it may take from its request to its end; 0 for any time."""
    trigger: str = "api"
    seed: str | None = None
    wish: Wish = field(default_factory=Wish)
    """How every case waits for its turn, besides what its flow says."""
    idempotency_key: str | None = None
    digest: str = ""
    id: UUID | None = None
    """The id that follows from a schedule's tick: whatever was requested under it is this run."""


def suite_run_uuid(workspace: str, idempotency_key: str | None) -> UUID:
    """Random, or derived from the key so that accepting twice is the same suite run."""
    return uuid5(NAMESPACE_URL, f"testmesh:suite-run:{workspace}:{idempotency_key}") if idempotency_key else uuid4()


class Suites:
    """The commands that faces use."""

    def __init__(
        self, log: Log, payloads: Payloads, flows: Flows, directory: FlowDirectory, rules: QueueRules | None = None
    ) -> None:
        """`log` is that of executions, to which the cases belong; `rules` are the server's, about waiting."""
        self._rules = rules or QueueRules()
        self.log = log
        self._payloads = payloads
        self._flows = flows
        self._directory = directory

    def members(self, workspace: str, ids: Sequence[UUID]) -> list[Member]:
        """The newest revisions of these flows."""
        if len(ids) > LIMITS.suite_cases:
            raise LimitExceeded(f"a suite run may have {LIMITS.suite_cases:,} cases, {len(ids):,} flows are selected")
        return [self.member(workspace, id) for id in dict.fromkeys(ids)]

    def member(self, workspace: str, id: UUID, revision: int | None = None, **more: Any) -> Member:
        """A flow of the workspace; the newest revision unless one is given."""
        return Member(*self._flows.runnable(workspace, id, revision), **more)

    def selected(self, workspace: str, **selection: str | None) -> list[UUID]:
        """The flows that a selection means."""
        wanted = {"project": None, "folder": None, "suite": None, "tags": None, **selection}
        return self._directory.selected(workspace, **wanted)

    def request(self, by: Actor, request: SuiteRequest) -> tuple[UUID, int]:
        """Accept a suite run: its id and the position of the event. Durable when this returns. What the selected flows need
        is run too."""
        id = request.id or suite_run_uuid(request.workspace, request.idempotency_key)
        crossed = sorted({*request.matrix} & {*request.variables})
        if crossed:
            raise Invalid(f"{crossed[0]} is given both in the matrix and as a variable", code="invalid_matrix")
        members, needs = self._with_needs(request.workspace, request.members)
        planning = Planning(members, needs, cells_of(request.matrix), request.wish, self._rules)
        cases: list[Case] = []
        planned: list[dict[str, Any]] = []
        for case, record in planning.cases():
            cases.append(case)
            planned.append(record)
            if len(cases) > LIMITS.suite_cases:
                break  # the aggregate refuses that many
        payloads = SealingOnce(self._payloads)
        documents, side = [], []
        for member in members:
            document, writes = sealed(payloads, request.workspace, member.source, member.bundle)
            documents.append(document)
            side += writes
        plan = planning.plan(documents, planned, request.tags, request.variables, request.seed or secrets.token_hex(16))
        return self._put(by, request, id, cases, plan, side)

    def rerun(
        self,
        by: Actor,
        workspace: str,
        id: UUID,
        *,
        parallel: int | None = None,
        timeout: float | None = None,
        idempotency_key: str | None,
        digest: str,
    ) -> tuple[UUID, int]:
        """Run again what did not pass in a finished suite run, taken together with those that it reran."""
        origin = self.get(workspace, id)
        if origin.verdict is None:
            raise Conflict(f"suite run {id} has not finished; cancel it, or wait", code="not_finished")
        chain = self._chain(origin)
        latest = _latest(chain)
        first = chain[0]
        numbers = [number for number, case in enumerate(first.cases) if latest[case["key"]][1] not in PASSED]
        if not numbers:
            raise Conflict(f"every case of suite run {id} has passed", code="nothing_to_rerun")
        plan = Plan.read(self._payloads.open(workspace, first.plan))
        groups = {first.cases[number]["group"] for number in numbers}
        needed = {number: self._needed(first, plan, latest, number, groups) for number in numbers}
        cases = [_case(first.cases[number], groups) for number in numbers]
        request = SuiteRequest(
            workspace,
            (),
            name=origin.name,
            selection={"rerun": str(id)},
            parallel=parallel or origin.parallel,
            fail_fast=origin.fail_fast,
            timeout=origin.timeout if timeout is None else timeout,
            trigger="rerun",
            idempotency_key=idempotency_key,
            digest=digest,
        )
        new = suite_run_uuid(workspace, idempotency_key)
        return self._put(by, request, new, cases, plan.narrowed(numbers, needed, len(chain)), [], origin)

    def accepted(self, workspace: str, idempotency_key: str, digest: str) -> tuple[UUID, int] | None:
        """What this key was answered before; None for a new key. Refused when the request was another."""
        stored = self.log.find(SuiteRun, suite_run_uuid(workspace, idempotency_key))
        return None if stored is None else self._same(stored, workspace, digest)

    def cancel(self, by: Actor, workspace: str, id: UUID, reason: str = "") -> int:
        """Ask a suite run to stop; the position of the event. Refused when it has finished."""
        while True:
            run = self.get(workspace, id)
            run.request_cancel(by, reason)
            try:
                return self.log.put(run)
            except VersionConflict:
                continue

    def get(self, workspace: str, id: UUID) -> SuiteRun:
        """The suite run, if it is one of this workspace."""
        run = self.log.find(SuiteRun, id)
        if run is None or run.workspace != workspace:
            raise NotFound(f"there is no suite run {id} in this workspace")
        return run

    def _put(
        self,
        by: Actor,
        request: SuiteRequest,
        id: UUID,
        cases: Sequence[Case],
        plan: Plan,
        side: list[Any],
        origin: SuiteRun | None = None,
    ) -> tuple[UUID, int]:
        check_time_limit(request.timeout)
        reference, writes = self._payloads.seal(request.workspace, plan.write())
        run = SuiteRun.request(
            by,
            id=id,
            workspace=request.workspace,
            cases=cases,
            origin=origin,
            name=request.name[:255],
            selection=dict(request.selection),
            matrix={name: list(values) for name, values in request.matrix.items()},
            trigger=request.trigger,
            parallel=request.parallel or LIMITS.suite_parallel,
            fail_fast=request.fail_fast,
            timeout=request.timeout,
            deadline=(self.log.now() + timedelta(seconds=request.timeout)).isoformat() if request.timeout else "",
            plan=dict(reference),
            request_digest=request.digest,
        )
        try:
            return id, self.log.put(run, side=[*side, *writes])
        except VersionConflict:
            if request.id is not None:
                return id, self.log.position_of(id)
            return self._same(self.log.load(SuiteRun, id), request.workspace, request.digest)

    def _same(self, stored: SuiteRun, workspace: str, digest: str) -> tuple[UUID, int]:
        if stored.workspace != workspace or stored.request_digest != digest:
            raise IdempotencyKeyReused("this Idempotency-Key was used for another request; use a new key for a new request")
        return stored.id, self.log.position_of(stored.id, stored.planned)

    def _with_needs(self, workspace: str, wanted: Sequence[Member]) -> tuple[list[Member], list[list[int]]]:
        """The members and all that they need, and of each the numbers of those. NotFound for a need that is not there."""
        members = list(wanted)
        needs: list[list[int]] = []
        known: dict[tuple[str, str], int] = {}
        for number, member in enumerate(members):
            _learn(known, member, number)
        for member in members:  # grows meanwhile
            needs.append([self._needed_by(workspace, member, name, members, known) for name in member.definition.needs])
            if len(members) > LIMITS.suite_cases:
                raise LimitExceeded(f"a suite run may have {LIMITS.suite_cases:,} cases")
        return members, needs

    def _needed_by(
        self, workspace: str, member: Member, name: str, members: list[Member], known: dict[tuple[str, str], int]
    ) -> int:
        project = member.home
        meant = list(dict.fromkeys((normpath(join(dirname(member.path), name)), name)))
        for called in meant:
            if (project, called) in known:
                return known[project, called]
        id = self._directory.called(workspace, project, meant)
        if id is None:
            raise NotFound(
                f"{member.path} needs {name!r}, which is neither among the flows of this run nor on the server",
                code="missing_need",
                remedy="push it, or run it too",
            )
        if (project, str(id)) not in known:
            members.append(self.member(workspace, id))
            _learn(known, members[-1], len(members) - 1)
        known[project, meant[0]] = known[project, str(id)]
        return known[project, str(id)]

    def _chain(self, run: SuiteRun) -> list[SuiteRun]:
        """A suite run after those that it reran, the first of them first."""
        chain = [run]
        while chain[0].origin:
            chain.insert(0, self.log.load(SuiteRun, UUID(chain[0].origin)))
        return chain

    @staticmethod
    def _needed(
        first: SuiteRun, plan: Plan, latest: Mapping[str, tuple[UUID, str]], number: int, groups: set[int]
    ) -> dict[str, str]:
        """The executions of what a case needs and what is not run again, by the names of those flows."""
        found: dict[str, str] = {}
        for group in set(first.cases[number]["needs"]) - groups:
            last = first.last_of(group)
            found.update(dict.fromkeys(plan.names(last), str(latest[first.cases[last]["key"]][0])))
        return found


def _latest(chain: Sequence[SuiteRun]) -> dict[str, tuple[UUID, str]]:
    """Of each case its newest execution and verdict, by its key."""
    return {
        case["key"]: (case_uuid(run.id, case["key"]), run.verdicts[number])
        for run in chain
        for number, case in enumerate(run.cases)
    }


def _case(record: Mapping[str, Any], groups: set[int]) -> Case:
    """The case of an event again, without the needs that are not among the groups."""
    values = {name: value for name, value in record.items() if name != "key"}
    return Case(**{**values, "needs": [need for need in record["needs"] if need in groups]})


def _learn(known: dict[tuple[str, str], int], member: Member, number: int) -> None:
    id = member.pinned.flow_id if member.pinned else None
    for name in (id, member.path, member.definition.file, member.definition.id, member.definition.name):
        if name:
            known.setdefault((member.home, name), number)
