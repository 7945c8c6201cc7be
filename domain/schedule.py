"""The Schedule aggregate: when a flow runs by itself, and what was decided about each tick."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.cron import Cron, parse
from domain.errors import Conflict, Invalid, NotFound
from domain.events import Actor, RecordedAggregate
from domain.limits import LIMITS
from domain.values import dataclass

Overlap = Literal["skip", "queue", "cancel_older"]
Missed = Literal["skip", "run_once", "run_all"]
OVERLAPS: tuple[Overlap, ...] = ("skip", "queue", "cancel_older")
MISSED: tuple[Missed, ...] = ("skip", "run_once", "run_all")
Kind = Literal["started", "queued", "skipped_overlap", "missed_skipped", "missed_merged", "dropped", "not_startable"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAME_CHARS = 200


def tick_uuid(schedule: UUID, tick: datetime) -> UUID:
    """The id of a tick's execution: whoever derives it derives the same."""
    return uuid5(NAMESPACE_URL, f"testmesh:tick:{schedule}:{tick.isoformat()}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a tick, or of `count` ticks from `first` to `tick` that share their fate."""

    kind: Kind
    tick: datetime
    first: datetime
    count: int = 1
    cancels: str = ""
    """The execution that has to stop for it."""
    why: str = ""
    revision: int = 0
    """The revision of the flow that is started."""


class Schedule(RecordedAggregate):
    """Created, changed, paused, resumed, deleted; each tick is considered once."""

    TOPIC = "schedule"

    class Event(RecordedAggregate.Event):
        """Base of the schedule's events."""

    class Created(Event, RecordedAggregate.Created):
        """The flow runs at the ticks of `cron` after `since`. `jitter` is in seconds."""

        TOPIC = "schedule.created"
        class_version = 2
        name: str
        flow: str
        cron: str
        time_zone: str
        jitter: float
        overlap: str
        missed: str
        variables: Mapping[str, Any]
        tags: Sequence[str]
        since: datetime
        request_digest: str
        selection: Mapping[str, Any] | None = None
        """What suite run it starts where `flow` is empty: suite, tags, folder, project, matrix, parallel, fail_fast."""

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """Version 2 may start suite runs."""
            state["selection"] = {}

        def apply(self, aggregate: Schedule) -> None:
            """Active from now on."""
            aggregate.workspace, aggregate.request_digest = self.workspace, self.request_digest
            aggregate.plan = {name: getattr(self, name) for name in PLAN}
            aggregate.considered = self.since
            aggregate.paused = aggregate.deleted = False
            aggregate.waiting, aggregate.last, aggregate.cancels = (), "", ""
            aggregate.last_tick, aggregate.runs = self.since, ("", 0)

    class Changed(Event):
        """These fields of the plan are new; where ticks move, they count from `since` on."""

        TOPIC = "schedule.changed"
        changes: Mapping[str, Any]
        since: datetime

        def apply(self, aggregate: Schedule) -> None:
            """The newest values count."""
            aggregate.plan = {**aggregate.plan, **self.changes}
            if "cron" in self.changes or "time_zone" in self.changes:
                aggregate.considered = max(aggregate.considered, self.since)

    class Paused(Event):
        """Nothing starts until it is resumed."""

        TOPIC = "schedule.paused"
        reason: str

        def apply(self, aggregate: Schedule) -> None:
            """Stand still."""
            aggregate.paused = True

    class Resumed(Event):
        """Ticks count again, from `since` on; those of the pause are not missed."""

        TOPIC = "schedule.resumed"
        since: datetime

        def apply(self, aggregate: Schedule) -> None:
            """Go on."""
            aggregate.paused = False
            aggregate.considered = max(aggregate.considered, self.since)

    class Deleted(Event):
        """No more ticks, for good."""

        TOPIC = "schedule.deleted"

        def apply(self, aggregate: Schedule) -> None:
            """Over."""
            aggregate.deleted = True

    class TickConsidered(Event):
        """What became of a tick, or of `count` ticks from `first` to `tick`; a queued tick is considered once more later.

        `execution` is what was started, of this `revision` (0 for none) of the `flow`; `cancels` is what has to stop for it.
        """

        TOPIC = "schedule.tick_considered"
        tick: datetime
        decision: str
        execution: str
        why: str
        first: datetime
        count: int
        cancels: str
        flow: str
        revision: int

        def apply(self, aggregate: Schedule) -> None:
            """Everything up to the tick is decided."""
            aggregate.considered = max(aggregate.considered, self.tick)
            aggregate.waiting = tuple(tick for tick in aggregate.waiting if tick != self.tick)
            if self.decision == "queued":
                aggregate.waiting = (*aggregate.waiting, self.tick)
            if self.decision == "started":
                aggregate.last, aggregate.last_tick = self.execution, self.tick
                aggregate.cancels, aggregate.runs = self.cancels, (self.flow, self.revision)
            elif self.decision == "not_startable" and self.tick == aggregate.last_tick:
                aggregate.last = ""

    if TYPE_CHECKING:
        plan: Mapping[str, Any]
        request_digest: str
        considered: datetime
        """Ticks up to here are decided."""
        waiting: tuple[datetime, ...]
        """Queued ticks, oldest first."""
        last: str
        """The execution that was started last; empty when there was none."""
        last_tick: datetime
        cancels: str
        """What had to stop for it."""
        runs: tuple[str, int]
        """The flow that it runs, and the revision."""
        paused: bool
        deleted: bool

    @classmethod
    def thawed(cls, state: dict[str, Any]) -> dict[str, Any]:
        """Times are times."""
        times = {name: datetime.fromisoformat(state[name]) for name in ("considered", "last_tick")}
        waiting = tuple(map(datetime.fromisoformat, state["waiting"]))
        return {**state, **times, "waiting": waiting, "runs": tuple(state["runs"])}

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.plan["name"])

    @property
    def cron(self) -> Cron:
        """Its ticks. Invalid when this machine does not know the time zone."""
        return parse(self.plan["cron"], self.plan["time_zone"])

    @property
    def active(self) -> bool:
        """Whether ticks count."""
        return not (self.paused or self.deleted)

    def due(self, tick: datetime) -> datetime:
        """When a tick is acted upon: the tick and its share of the jitter, which is the same for whoever asks."""
        return due_at(self.id, tick, self.plan["jitter"])

    def next_due(self) -> datetime | None:
        """When the first tick that is not decided is due; None while nothing will come."""
        tick = self.cron.next(self.considered) if self.active else None
        return None if tick is None else self.due(tick)

    # Commands: what people ask for --------------------------------------------------------------------------------

    @classmethod
    def create(cls, by: Actor, *, id: UUID, workspace: str, since: datetime, request_digest: str, **plan: Any) -> Schedule:
        """A new schedule; `plan` are the fields that PLAN names."""
        checked = checked_plan(plan)
        made: Schedule = cls._begin(
            cls.Created, by, id=id, workspace=workspace, since=since, request_digest=request_digest, **checked
        )
        return made

    def change(self, by: Actor, since: datetime, **changes: Any) -> None:
        """Give fields of the plan new values; equal ones record nothing."""
        self._must_be_there()
        plan = checked_plan({**self.plan, **changes}, moved="cron" in changes)
        new = {name: plan[name] for name in PLAN if plan[name] != (self.plan.get(name) or type(plan[name])())}
        if new:
            self._record(self.Changed, by, changes=new, since=since)

    def pause(self, by: Actor, reason: str) -> None:
        """Let nothing start; ticks that wait are dropped. Again, with another reason, gives it that one."""
        self._must_be_there()
        if self.paused and not reason:
            raise Conflict(
                f"schedule {self.name} is already paused",
                code="already_paused",
                remedy="pause it with a reason to give it another one",
            )
        self.drop_waiting(by, "the schedule was paused")
        self._record(self.Paused, by, reason=reason)

    def resume(self, by: Actor, since: datetime) -> None:
        """Let ticks count again."""
        self._must_be_there()
        if not self.paused:
            raise Conflict(f"schedule {self.name} is not paused", code="not_paused")
        self._record(self.Resumed, by, since=since)

    def delete(self, by: Actor) -> None:
        """End it; its history stays."""
        self._must_be_there()
        self.drop_waiting(by, "the schedule was deleted")
        self._record(self.Deleted, by)

    # Commands: what the scheduler records --------------------------------------------------------------------------

    def consider(self, by: Actor, decision: Decision) -> str:
        """Record a decision; the id of the execution that it starts, or nothing."""
        execution = str(tick_uuid(self.id, decision.tick)) if decision.kind == "started" else ""
        self._record(
            self.TickConsidered,
            by,
            tick=decision.tick,
            decision=decision.kind,
            execution=execution,
            why=decision.why,
            first=decision.first,
            count=decision.count,
            cancels=decision.cancels,
            flow=self.plan["flow"] if execution else "",
            revision=decision.revision,
        )
        return execution

    def drop_waiting(self, by: Actor, why: str) -> None:
        """Decide that queued ticks start nothing."""
        for tick in self.waiting:
            self.consider(by, Decision("dropped", tick, tick, why=why))

    def _must_be_there(self) -> None:
        if self.deleted:
            raise NotFound(f"there is no schedule {self.id} in this workspace")


PLAN = ("name", "flow", "cron", "time_zone", "jitter", "overlap", "missed", "variables", "tags", "selection")
"""The fields that people set."""


def checked_plan(plan: Mapping[str, Any], *, moved: bool = True) -> dict[str, Any]:
    """The plan in the form in which it is kept; Invalid says what cannot be. Ticks that are not `moved` may be closer than
    today's limit."""
    name = str(plan["name"]).strip()
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise Invalid(f"a schedule's name has 1 to {NAME_CHARS} printable characters", code="invalid_name")
    selection = {name: value for name, value in (plan.get("selection") or {}).items() if value}
    if bool(plan["flow"]) == bool(selection):
        raise Invalid("a schedule runs a `flow`, or what a `selection` of flows means", code="invalid_body")
    for field, choices in (("overlap", OVERLAPS), ("missed", MISSED)):
        if plan[field] not in choices:
            raise Invalid(f"{field} must be one of {', '.join(choices)}", code="invalid_field")
    cron = parse(plan["cron"], plan["time_zone"])
    shortest, jitter = cron.shortest(), float(plan["jitter"])
    if moved and shortest < LIMITS.schedule_seconds:
        raise Invalid(
            f"{cron.expression!r} ticks every {shortest:g} s; ticks must be {LIMITS.schedule_seconds:g} s apart",
            code="too_frequent",
            remedy="let it tick less often, or raise what the server allows (TESTMESH_LIMIT_SCHEDULE_SECONDS)",
        )
    if not 0 <= jitter < shortest:
        raise Invalid(f"jitter must be shorter than the time between two ticks, {shortest:g} s", code="invalid_jitter")
    return {**plan, "name": name, "cron": cron.expression, "jitter": jitter, "tags": list(plan["tags"]), "selection": selection}


def due_at(schedule: UUID, tick: datetime, jitter: float) -> datetime:
    """The tick and its share of the jitter (seconds), which looks random and depends on schedule and tick alone."""
    digest = hashlib.sha256(f"{schedule}:{tick.isoformat()}".encode()).digest()
    return tick + timedelta(seconds=round(int.from_bytes(digest[:7], "big") / 2**56 * jitter, 3))
