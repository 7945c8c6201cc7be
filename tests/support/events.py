"""Histories for tests of followers: events of the real aggregates in a log that lives in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from eventsourcing.domain import Aggregate
from hypothesis import strategies as st

from domain.api_key import ApiKey, KeyText
from domain.errors import Refusal
from domain.events import Actor
from domain.execution import Execution
from domain.flow import Flow
from domain.schedule import Decision, Schedule
from domain.suite_case import Case
from domain.suite_run import SuiteRun
from domain.user import User
from domain.workspace import Workspace

BY = Actor("user:1")
WORKSPACE = "w"


@dataclass(frozen=True, slots=True)
class Happened:
    """An event at its place."""

    position: int
    event: Any
    topic: str


@dataclass(slots=True)
class MemoryLog:
    """Events in the order in which they were put; positions have holes, as a real log's may."""

    events: list[Happened] = field(default_factory=list)

    def put(self, *aggregates: Aggregate) -> int:
        """Take the pending events; the position of the last one so far."""
        for aggregate in aggregates:
            for event in aggregate.collect_events():
                self.events.append(Happened(self.head() + 1 + len(self.events) % 3 // 2, event, type(event).TOPIC))
        return self.head()

    def head(self) -> int:
        """The position of the newest event."""
        return self.events[-1].position if self.events else 0

    def read(self, after: int, limit: int, topics: Sequence[str] = ()) -> list[Happened]:
        """As the event store reads."""
        found = (h for h in self.events if h.position > after and (not topics or h.topic in topics))
        return [happened for happened, _ in zip(found, range(limit), strict=False)]


def requested(id: UUID | None = None, **changes: Any) -> Execution:
    """A queued execution."""
    values: dict[str, Any] = {
        "project": "shop",
        "flow_id": "f1",
        "flow_revision": 1,
        "flow_name": "checkout",
        "file": "checkout.yaml",
        "document": {"id": "ab", "size": 2},
        "variables": {"user": "eva", "api_token": "very secret"},
        "tags": ["smoke"],
        "trigger": "api",
        "request_digest": "",
        "seed": "s",
        "on_worker_lost": "restart",
        "max_attempts": 3,
        "timeout": 60.0,
        "teardown_timeout": 10.0,
        "case": "",
    }
    workspace = changes.pop("workspace", WORKSPACE)
    return Execution.request_run(BY, id=id or uuid4(), workspace=workspace, **{**values, **changes})


def outcome(verdict: str = "passed", **changes: Any) -> dict[str, Any]:
    """What the recorder keeps of a finished step."""
    checks = [{"expression": "status == 200", "passed": verdict == "passed", "message": None, "line": 3}]
    tries = [{"number": 1, "verdict": verdict, "duration_ms": 1.5, "error": None, "assertions": checks}]
    rest: dict[str, Any] = {"outputs": {"id": 7}, "result": {"status": 200}, "error": None, "reason": None, "exchange": None}
    return {"verdict": verdict, "duration_ms": 2.0, "tries": tries, **rest, **changes}


def started(execution: Execution, worker: str = "a") -> Execution:
    """Claim the attempt that waits."""
    execution.start_attempt(BY, execution.attempt, worker)
    return execution


def step(execution: Execution, path: str = "pay", verdict: str = "passed", *, logs: int = 0, phase: str = "steps") -> Execution:
    """Run a step to its end."""
    begin(execution, path, phase=phase)
    if logs:
        lines = [{"level": "info", "message": f"line {number}"} for number in range(logs)]
        execution.write_log(BY, execution.attempt, execution.worker, path=path, lines=lines, teardown=_taken_over(execution))
    end(execution, path, verdict, phase=phase)
    return execution


def _taken_over(execution: Execution) -> int:
    """The number of the taken-over teardown that runs, 0 for an attempt."""
    return execution.teardowns if execution.status == "tearing_down" else 0


def begin(execution: Execution, path: str = "pay", *, phase: str = "steps") -> Execution:
    """Begin a step."""
    values = {"path": path, "phase": phase, "number": 1, "name": path.title(), "action": "http_request"}
    execution.start_step(BY, execution.attempt, execution.worker, **values, teardown=_taken_over(execution))
    return execution


def end(execution: Execution, path: str = "pay", verdict: str = "passed", *, phase: str = "steps") -> Execution:
    """End a step."""
    made = outcome(verdict)
    values = {"path": path, "phase": phase, "outcome": made, "state": {"id": 7}, "payload": {"id": "cd", "size": 9}}
    execution.finish_step(BY, execution.attempt, execution.worker, **values, teardown=_taken_over(execution))
    return execution


def finished(execution: Execution, verdict: str = "passed") -> Execution:
    """End the execution."""
    execution.finish(BY, execution.attempt, execution.worker, verdict, outputs={"order": 7})
    return execution


def events_of_attempt(execution: Execution) -> Execution:
    """Claim, run two steps, end."""
    return finished(step(step(started(execution)), "ship", logs=2))


def flow(path: str = "a.yaml", **changes: Any) -> Flow:
    """A registered flow."""
    return Flow.register(BY, workspace=WORKSPACE, project="shop", key=path, **{**source(path), **changes})


def source(path: str, number: int = 1) -> dict[str, Any]:
    """A revision's values."""
    return {
        "path": path,
        "name": f"Flow {path}",
        "description": f"text {number}",
        "suite": "night",
        "tags": ["smoke"],
        "digest": f"d{number}",
        "document": {"id": f"{number}", "size": number},
        "steps": number,
    }


def key(id: str = "k" * 12, **changes: Any) -> ApiKey:
    """An issued API key."""
    values: dict[str, Any] = {
        "name": "ci",
        "user": "u",
        "scopes": ("runs:read",),
        "expires_at": datetime(2030, 1, 1, tzinfo=UTC),
    }
    return ApiKey.issue(BY, KeyText(id, "s" * 43), workspace=WORKSPACE, **{**values, **changes})


SINCE = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def schedule(id: UUID | None = None, **changes: Any) -> Schedule:
    """A schedule of every minute."""
    plan: dict[str, Any] = {
        "name": "minutely",
        "flow": "f1",
        "cron": "* * * * *",
        "time_zone": "UTC",
        "jitter": 0.0,
        "overlap": "queue",
        "missed": "skip",
        "variables": {"user": "eva", "api_token": "very secret"},
        "tags": ["smoke"],
    }
    values = {"workspace": WORKSPACE, "since": SINCE, "request_digest": "", **plan, **changes}
    return Schedule.create(BY, id=id or uuid4(), **values)


def a_suite_run(number: int = 0, **changes: Any) -> SuiteRun:
    """A suite run of six cases, of which some need others."""
    cases = [Case(f"{n}.yaml", f"Flow {n}", f"{n}.yaml", group=n, needs=[n - 3] if n > 2 else []) for n in range(6)]
    values: dict[str, Any] = {"name": "night", "selection": {"suite": "night"}, "matrix": {}, "trigger": "api"}
    values |= {"parallel": 1 + number, "fail_fast": False, "plan": {"id": "p", "size": 1}, "request_digest": "", **changes}
    return SuiteRun.request(BY, id=uuid5(NAMESPACE_URL, f"r{number}"), workspace=WORKSPACE, cases=cases, **values)


def considered(schedule: Schedule, kind: Any = "started", why: str = "") -> Schedule:
    """Decide about the next minute."""
    tick = schedule.considered + timedelta(minutes=1)
    schedule.consider(Actor(f"schedule:{schedule.id}"), Decision(kind, tick, tick, why=why))
    return schedule


# Histories: any commands in any order, of which the aggregates accept what is allowed -------------------------------

_EXECUTION: dict[str, Callable[[Execution, str], object]] = {
    "start": lambda e, w: started(e, w),
    "cancel": lambda e, w: e.request_cancel(BY, "no\x00more"),
    "begin": lambda e, w: begin(e),
    "end": lambda e, w: end(e),
    "fail": lambda e, w: step(e, "check", "failed", logs=2),
    "again": lambda e, w: end(e, "check", "tolerated"),
    "teardown": lambda e, w: e.start_teardown(BY, e.attempt, e.worker, 0),
    "tidy": lambda e, w: begin(e, "tidy", phase="teardown"),
    "tidied": lambda e, w: end(e, "tidy", phase="teardown"),
    "torn": lambda e, w: e.finish_teardown(BY, e.attempt, e.worker, e.teardowns, "passed"),
    "claim": lambda e, w: e.start_teardown(BY, e.attempt, w, e.teardowns + 1),
    "lose": lambda e, w: e.abandon(BY, e.attempt, "worker_lost"),
    "drain": lambda e, w: e.abandon(BY, e.attempt, "drain"),
    "deadline": lambda e, w: e.abandon(BY, e.attempt, "deadline"),
    "finish": lambda e, w: finished(e),
    "break": lambda e, w: finished(e, "failed"),
}
_FLOW: dict[str, Callable[[Flow, str], object]] = {
    "revise": lambda f, w: f.revise(BY, **source(f.path, f.revision + 1)),
    "move": lambda f, w: f.revise(BY, **{**source(f"{f.path}/x"), "digest": f.digest}),
    "tag": lambda f, w: f.tag(BY, [w, "smoke"]),
    "archive": lambda f, w: f.archive(BY),
    "restore": lambda f, w: f.restore(BY),
}
_WORKSPACE: dict[str, Callable[[Workspace, str], object]] = {
    "own": lambda r, w: r.add_member(BY, w, "owner"),
    "view": lambda r, w: r.add_member(BY, w, "viewer"),
    "leave": lambda r, w: r.remove_member(BY, w),
}
_USER: dict[str, Callable[[User, str], object]] = {
    "disable": lambda u, w: u.disable(BY),
    "enable": lambda u, w: u.enable(BY),
}
_SCHEDULE: dict[str, Callable[[Schedule, str], object]] = {
    "start": lambda s, w: considered(s),
    "queue": lambda s, w: considered(s, "queued", w),
    "skip": lambda s, w: considered(s, "skipped_overlap", "no\x00more"),
    "dequeue": lambda s, w: s.drop_waiting(BY, w),
    "fail": lambda s, w: s.consider(BY, Decision("not_startable", s.last_tick, s.last_tick, why=w)),
    "change": lambda s, w: s.change(BY, s.considered + timedelta(hours=1), name=w, cron="0 * * * *"),
    "move": lambda s, w: s.change(BY, s.considered, cron=f"{len(w)} * * * *", variables={w: 1}),
    "pause": lambda s, w: s.pause(BY, w),
    "resume": lambda s, w: s.resume(BY, s.considered + timedelta(minutes=9)),
    "delete": lambda s, w: s.delete(BY),
}
_SUITE: dict[str, Callable[[SuiteRun, str], object]] = {
    "advance": lambda s, w: s.advance(BY),
    "pass": lambda s, w: s.end_cases(BY, {number: ("passed", "") for number in s.running()[:1]}),
    "break": lambda s, w: s.end_cases(BY, {number: ("failed", w) for number in s.running()[-1:]}),
    "lose": lambda s, w: s.end_cases(BY, {number: ("error", "worker_lost") for number in s.running()}),
    "refuse": lambda s, w: s.advance(BY, lambda number: w if number % 2 else ""),
    "cancel": lambda s, w: s.request_cancel(BY, "no\x00more"),
}
_KEY: dict[str, Callable[[ApiKey, str], object]] = {"revoke": lambda k, w: k.revoke(BY)}

_KINDS: dict[str, tuple[Callable[[int], Any], dict[str, Callable[[Any, str], object]]]] = {
    "execution": (lambda n: requested(uuid5(NAMESPACE_URL, f"e{n}")), _EXECUTION),
    "flow": (lambda n: flow(f"{n}.yaml"), _FLOW),
    "schedule": (lambda n: schedule(uuid5(NAMESPACE_URL, f"s{n}")), _SCHEDULE),
    "suite": (lambda n: a_suite_run(n), _SUITE),
    "workspace": (lambda n: Workspace.open(BY, f"room {n}"), _WORKSPACE),
    "user": (lambda n: User.register(BY, f"login {n}", WORKSPACE), _USER),
    "key": (lambda n: key(f"{n:012}"), _KEY),
}
_LOGS = {
    "executions": ("execution", "suite"),
    "flows": ("flow",),
    "schedules": ("schedule",),
    "identity": ("workspace", "user", "key"),
}


Move = tuple[str, int, int, str]
"""Kind of aggregate, which one, number of the command to try first, a word."""


def moves_of(log: str, size: int = 36) -> st.SearchStrategy[list[Move]]:
    """Commands on a few aggregates of a log, mixed."""
    moves = [
        st.tuples(st.just(kind), st.integers(0, 2), st.integers(0, len(_KINDS[kind][1]) - 1), st.sampled_from("abc"))
        for kind in _LOGS[log]
    ]
    return st.lists(st.one_of(moves), min_size=size // 3, max_size=size)


def play(moves: Sequence[Move]) -> MemoryLog:
    """The history of these moves; instead of a command that is refused, the next one that is not."""
    log, known = MemoryLog(), dict[tuple[str, int], Aggregate]()
    for kind, number, first, word in moves:
        make, commands = _KINDS[kind]
        if (kind, number) not in known:
            known[kind, number] = make(number)
            log.put(known[kind, number])
        for command in [*list(commands.values())[first:], *list(commands.values())[:first]]:
            with suppress(Refusal):
                command(known[kind, number], word)
            if known[kind, number].pending_events:
                break
        log.put(known[kind, number])
    return log
