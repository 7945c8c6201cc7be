"""The scheduler: considers each tick of each schedule once, whoever else schedules at the same time.

A decision counts when the log has it. It is appended at the version that it was made from, so of several schedulers one
decides. The execution comes after that, under the id that schedule and tick give: whoever finds it missing asks for the same.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from uuid import UUID

from application.executions import Executions, RunRequest
from application.flows import Flows
from application.group_commit import is_connection_error
from application.log import Log, VersionConflict
from application.suite_plan import Member
from application.suites import SuiteRequest, Suites
from domain.duration import parse_duration
from domain.errors import Conflict, NotFound, Refusal, Unavailable
from domain.events import Actor
from domain.execution import Execution
from domain.limits import LIMITS
from domain.schedule import Decision, Overlap, Schedule, tick_uuid
from domain.suite_run import SuiteRun
from domain.values import dataclass

GRACE_SECONDS = 30.0
"""A tick that is considered later than this after it was due was missed."""
AGAIN_SECONDS = 5.0
"""When a schedule that could not be looked at is tried again."""
POLL_SECONDS = 1.0
LOOKED_AT = 1_000
"""Missed ticks that one decision covers at most."""
A_ROUND = 200
"""Decisions on one schedule before it is the others' turn."""
logger = logging.getLogger("testmesh.scheduler")

Known = Callable[[], Sequence[tuple[UUID, int]]]
"""Schedules that tick, from the read model: (id, position of its newest event)."""


def decide(schedule: Schedule, now: datetime, busy: Callable[[], bool]) -> Decision | None:
    """What is to be decided now, one thing at a time; None when nothing is. `busy` says whether the execution that the
    schedule started last is under way."""
    if not schedule.active:
        return None
    if schedule.waiting and not busy():
        oldest = schedule.waiting[0]
        return Decision("started", oldest, oldest, why="the execution before it has ended")
    tick = schedule.cron.next(schedule.considered)
    if tick is None or schedule.due(tick) > now:
        return None
    late = _late(schedule, now - timedelta(seconds=GRACE_SECONDS))
    if late:
        return _missed(schedule, late, busy)
    return _due(schedule, tick, busy, schedule.plan["overlap"], LIMITS.schedule_queue)


def _late(schedule: Schedule, limit: datetime) -> list[datetime]:
    """The first ticks that were due before the limit."""
    ticks = islice(schedule.cron.ticks(schedule.considered), max(LOOKED_AT, 2 * LIMITS.schedule_catch_up))
    return list(takewhile(lambda tick: schedule.due(tick) < limit, ticks))


def _missed(schedule: Schedule, late: list[datetime], busy: Callable[[], bool]) -> Decision:
    policy, more = schedule.plan["missed"], len(late) >= LOOKED_AT
    if policy == "skip":
        return Decision("missed_skipped", late[-1], late[0], len(late), why="no scheduler was there in time")
    if policy == "run_once":
        merged = late if more else late[:-1]
        if merged:
            return Decision("missed_merged", merged[-1], merged[0], len(merged), why="the newest missed tick runs for them")
        return _due(schedule, late[0], busy, schedule.plan["overlap"], LIMITS.schedule_queue, "missed, and made up")
    excess = len(schedule.waiting) + len(late) - LIMITS.schedule_catch_up
    if excess > 0:
        why = f"of the missed ticks the newest {LIMITS.schedule_catch_up} are made up"
        return Decision("missed_skipped", late[min(excess, len(late)) - 1], late[0], min(excess, len(late)), why=why)
    return _due(schedule, late[0], busy, "queue", LIMITS.schedule_catch_up, "missed, and made up")


def _due(schedule: Schedule, tick: datetime, busy: Callable[[], bool], overlap: Overlap, most: int, why: str = "") -> Decision:
    """A tick that is to run, unless the execution before it says otherwise; at most `most` ticks wait for that."""
    if not schedule.waiting and not busy():
        return Decision("started", tick, tick, why=why)
    if overlap == "cancel_older":
        if schedule.waiting:
            oldest = schedule.waiting[0]
            return Decision("dropped", oldest, oldest, why="a newer tick takes its place")
        return Decision("started", tick, tick, cancels=schedule.last, why=why)
    if overlap == "skip":
        return Decision("skipped_overlap", tick, tick, why=f"execution {schedule.last} had not ended")
    if len(schedule.waiting) >= most:
        return Decision("skipped_overlap", tick, tick, why=f"{len(schedule.waiting)} ticks wait already")
    return Decision("queued", tick, tick, why=why or f"execution {schedule.last} had not ended")


@dataclass(slots=True)
class _Watched:
    """A schedule as this scheduler knows it, up to a position of the log."""

    schedule: Schedule
    position: int
    due: datetime | None
    settled: str = ""
    """The execution that is known to have been requested."""


class Scheduler:
    """One round a second, and one at each moment when something is due. Any number of schedulers is harmless."""

    def __init__(
        self, log: Log, flows: Flows, executions: Executions, suites: Suites, known: Known, now: Callable[[], datetime]
    ) -> None:
        """`known` reads the list of schedules; `now` is the clock that all schedulers share (the database's)."""
        self._log = log
        self._flows = flows
        self._executions = executions
        self._suites = suites
        self._known = known
        self._now = now
        self._watched: dict[UUID, _Watched] = {}
        self._again: dict[UUID, datetime] = {}
        self.decisions: Counter[str] = Counter()
        """How many ticks this scheduler has decided, by decision."""
        self.last_tick: datetime | None = None
        self.last_round: datetime | None = None
        self.lag = 0.0
        """Seconds by which the tick that is longest overdue was late in the last round."""

    @property
    def active(self) -> int:
        """How many schedules tick."""
        return sum(watched.schedule.active for watched in list(self._watched.values()))

    @property
    def failing(self) -> int:
        """How many schedules could not be considered when it was their turn."""
        return len(self._again)

    def run(self, stop: threading.Event) -> None:
        """Schedule until stopped."""
        while not stop.is_set():
            pause = POLL_SECONDS / 2
            try:
                pause = self.step()
            except Unavailable as error:
                logger.warning("%s", error)
            except Exception as error:
                if not is_connection_error(error):
                    logger.exception("a round failed; the next one tries again")
            stop.wait(pause)

    def step(self) -> float:
        """Consider everything that is due; the seconds until there may be more to do."""
        now = self._now()
        known = dict(self._known())
        self._watched = {id: watched for id, watched in self._watched.items() if id in known}
        self._again = {id: again for id, again in self._again.items() if id in known}
        lag = 0.0
        for id, position in known.items():
            lag = max(lag, self._look(id, position, now))
        self.lag, self.last_round = lag, now
        dues = [watched.due for watched in self._watched.values() if watched.due is not None]
        return min(POLL_SECONDS, max(0.0, (min(dues) - now).total_seconds())) if dues else POLL_SECONDS

    def _look(self, id: UUID, position: int, now: datetime) -> float:
        """Do what there is to do for one schedule; whatever is wrong with it, the others go on. Seconds of delay."""
        if id in self._again and now < self._again[id]:
            return 0.0
        try:
            watched = self._watched.get(id)
            if watched is None or position > watched.position:
                watched = self._load(id, position, watched)
            delay = 0.0 if watched.due is None else (now - watched.due).total_seconds()
            if (watched.due is not None and delay >= 0) or watched.schedule.waiting or watched.settled != watched.schedule.last:
                self._consider(watched, now)
            self._again.pop(id, None)
            return max(0.0, delay)
        except Exception as error:
            # What the log does not have must not be remembered as decided.
            self._watched.pop(id, None)
            self._again[id] = now + timedelta(seconds=AGAIN_SECONDS)
            if isinstance(error, Unavailable) or is_connection_error(error):
                raise
            logger.exception("schedule %s cannot be considered; it is tried again", id)
            return 0.0

    def _load(self, id: UUID, position: int, before: _Watched | None) -> _Watched:
        schedule = self._log.load(Schedule, id)
        made = _Watched(schedule, position, None, settled=before.settled if before else "")
        self._watched[id] = made
        made.due = schedule.next_due()
        return made

    def _consider(self, watched: _Watched, now: datetime) -> None:
        for _ in range(A_ROUND):
            try:
                self._settle(watched)
                decision = decide(watched.schedule, now, lambda: self._busy(watched.schedule))
                if decision is None:
                    break
                self._carry_out(watched, decision)
            except VersionConflict:
                watched.schedule = self._log.load(Schedule, watched.schedule.id)
        watched.due = watched.schedule.next_due()

    def _carry_out(self, watched: _Watched, decision: Decision) -> None:
        """Record the decision, then do what it says."""
        request = None
        if decision.kind == "started":
            try:
                request = self._request(watched.schedule, decision.tick)
                decision = replace(decision, revision=_revision(request))
            except Refusal as refusal:
                decision = self._not_startable(refusal, decision.tick)
        self._record(watched, decision)
        if request is not None:
            self._settle(watched, request)

    def _record(self, watched: _Watched, decision: Decision) -> None:
        schedule = watched.schedule
        schedule.consider(self._actor(schedule, decision.tick), decision)
        watched.position = max(watched.position, self._log.put(schedule))
        self.decisions[decision.kind] += decision.count
        self.last_tick = decision.tick
        logger.info("schedule %s, tick %s: %s %s", schedule.id, decision.tick.isoformat(), decision.kind, decision.why)

    def _settle(self, watched: _Watched, request: RunRequest | SuiteRequest | None = None) -> None:
        """See to it that what was decided last exists, execution or suite run, and that what stands in its way is stopped."""
        schedule = watched.schedule
        id = schedule.last
        if not id or watched.settled == id:
            watched.settled = id
            return
        if not self._has(id, Execution.Requested.TOPIC, SuiteRun.Requested.TOPIC):
            try:
                self._start(schedule, request or self._request(schedule, schedule.last_tick, decided=True))
            except Refusal as refusal:
                self._record(watched, self._not_startable(refusal, schedule.last_tick))
                return
        if schedule.cancels:
            self._cancel(schedule, UUID(schedule.cancels))
        watched.settled = id

    def _start(self, schedule: Schedule, request: RunRequest | SuiteRequest) -> None:
        by = self._actor(schedule, schedule.last_tick)
        if isinstance(request, SuiteRequest):
            self._suites.request(by, request)
        else:
            self._executions.request(by, request)

    def _cancel(self, schedule: Schedule, id: UUID) -> None:
        by, why = self._actor(schedule, schedule.last_tick), f"schedule {schedule.name}: a newer tick takes its place"
        cancel = self._suites.cancel if self._has(str(id), SuiteRun.Requested.TOPIC) else self._executions.cancel
        try:
            cancel(by, schedule.workspace, id, why)
        except (Conflict, NotFound) as refusal:
            if isinstance(refusal, VersionConflict):
                raise

    def _busy(self, schedule: Schedule) -> bool:
        return bool(schedule.last) and not self._has(schedule.last, Execution.Finished.TOPIC, SuiteRun.Finished.TOPIC)

    def _has(self, id: str, *topics: str) -> bool:
        return any(self._executions.log.has(UUID(id), topic) for topic in topics)

    def _request(self, schedule: Schedule, tick: datetime, *, decided: bool = False) -> RunRequest | SuiteRequest:
        """The run of a tick: of the newest revision, or of what was decided, whatever became of the flow since. A flow that
        has rows of data, or needs others, is a suite run."""
        plan, id = schedule.plan, tick_uuid(schedule.id, tick)
        if plan.get("selection") and not (decided and schedule.runs[0]):
            return self._selected(schedule, plan["selection"], id)
        flow, revision = schedule.runs if decided else (plan["flow"], None)
        definition, text, pinned, bundle = self._flows.runnable(schedule.workspace, UUID(flow), revision, archived=decided)
        if definition.data is not None or definition.needs:
            return SuiteRequest(
                schedule.workspace,
                [Member(definition, text, pinned, bundle)],
                name=schedule.name,
                selection={"schedule": str(schedule.id)},
                variables=plan["variables"],
                tags=plan["tags"],
                trigger="schedule",
                id=id,
            )
        return RunRequest(
            schedule.workspace,
            definition,
            text,
            pinned,
            variables=plan["variables"],
            tags=plan["tags"],
            trigger="schedule",
            bundle=bundle,
            id=id,
        )

    def _selected(self, schedule: Schedule, selection: Mapping[str, Any], id: UUID) -> SuiteRequest:
        """The suite run of what the selection means now. NotFound when that is nothing."""
        chosen = {name: selection.get(name) for name in ("project", "folder", "suite", "tags")}
        flows = self._suites.selected(schedule.workspace, **chosen)
        if not flows:
            raise NotFound("no flow of the workspace is selected any more")
        return SuiteRequest(
            schedule.workspace,
            self._suites.members(schedule.workspace, flows),
            name=schedule.name,
            selection={"schedule": str(schedule.id), **{name: text for name, text in chosen.items() if text}},
            matrix=selection.get("matrix") or {},
            variables=schedule.plan["variables"],
            tags=schedule.plan["tags"],
            parallel=selection.get("parallel"),
            fail_fast=bool(selection.get("fail_fast")),
            timeout=parse_duration(selection.get("timeout") or 0),
            trigger="schedule",
            id=id,
        )

    @staticmethod
    def _not_startable(refusal: Refusal, tick: datetime) -> Decision:
        """Unavailable servers are no answer: they are asked again."""
        if isinstance(refusal, Unavailable | VersionConflict):
            raise refusal
        return Decision("not_startable", tick, tick, why=refusal.message[:500])

    @staticmethod
    def _actor(schedule: Schedule, tick: datetime) -> Actor:
        return Actor(f"schedule:{schedule.id}", causation=f"tick:{tick.isoformat()}", correlation=str(schedule.id))


def _revision(request: RunRequest | SuiteRequest) -> int:
    """The revision of the flow that a schedule names; 0 for a selection of flows."""
    if isinstance(request, SuiteRequest):
        pinned = request.members[0].pinned if list(request.selection) == ["schedule"] else None
    else:
        pinned = request.pinned
    return pinned.revision if pinned else 0
