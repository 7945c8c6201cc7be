"""Suite runs for tests: cases with needs, and the small system in memory that coordinates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from application.coordinating import Coordinator
from application.flows import Document, Flows
from application.memory_log import MemoryLog
from application.payloads import MemoryPayloads
from application.suites import SuiteRequest, Suites
from domain.events import Actor
from domain.execution import Execution
from domain.suite_case import Case
from domain.suite_run import SuiteRun
from tests.support.local import Calls, small_actions

BY = Actor("user:1")
WORKSPACE = "w"


def case(name: str, group: int = 0, *, needs: Sequence[int] = (), row: str = "", **cell: Any) -> Case:
    """A case of the flow in `<name>.yaml`."""
    return Case(f"{name}.yaml", name, f"{name}.yaml", row, cell, group, needs)


def cases(*needs: Sequence[int]) -> list[Case]:
    """Flows a, b, c, ... each of which needs these others, by their numbers."""
    return [case(chr(97 + number), number, needs=needed) for number, needed in enumerate(needs)]


def suite_run(*planned: Case, id: UUID | None = None, **values: Any) -> SuiteRun:
    """A suite run of these cases, or of three that need nothing."""
    rest: dict[str, Any] = {"name": "night", "selection": {"suite": "night"}, "matrix": {}, "trigger": "api"}
    rest |= {"parallel": 10, "fail_fast": False, "plan": {"id": "p", "size": 1}, "request_digest": ""}
    return SuiteRun.request(BY, id=id or uuid4(), workspace=WORKSPACE, cases=planned or cases((), (), ()), **{**rest, **values})


def ended(number: int, verdict: str = "passed") -> Any:
    """The command that says how a case ended."""
    return lambda run: run.end_cases(BY, {number: (verdict, "")})


def advanced(run: SuiteRun) -> list[int]:
    """What follows."""
    return run.advance(BY)


FLOW = "name: {name}\nsteps:\n  - id: hello\n    action: say\n    config: {{message: hi}}\n{more}"


class Directory:
    """The flows that were pushed, straight from the log."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows

    def selected(self, workspace: str, **wanted: Any) -> list[UUID]:
        """Those of a suite, or all."""
        return [id for id, flow in self._all().items() if wanted["suite"] in (None, flow.suite)]

    def called(self, workspace: str, project: str, names: Sequence[str]) -> UUID | None:
        """By path or name."""
        return next((id for name in names for id, flow in self._all().items() if name in (flow.path, flow.name)), None)

    def _all(self) -> dict[UUID, Any]:
        events = (recorded.event for recorded in self._flows.log.read(0, 10**6, ("flow.registered",)))
        return {event.originator_id: event for event in events}


class System:
    """Flows, executions and suite runs in memory; any number of coordinators."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.payloads = MemoryPayloads()
        self.actions = small_actions(Calls([]))
        self.flows = Flows(MemoryLog("flows"), self.payloads, self.actions)
        self.log = log or MemoryLog("executions")
        self.suites = Suites(self.log, self.payloads, self.flows, Directory(self.flows))

    def push(self, name: str, more: str = "", **files: bytes) -> UUID:
        """Store the flow `<name>.yaml`; `more` are lines of YAML."""
        document = Document(f"{name}.yaml", FLOW.format(name=name, more=more), files)
        return self.flows.push(BY, WORKSPACE, "", [document])[0][0].id

    def request(self, *ids: UUID, **more: Any) -> UUID:
        """Accept a suite run of these flows."""
        members = self.suites.members(WORKSPACE, ids)
        return self.suites.request(BY, SuiteRequest(WORKSPACE, members, **more))[0]

    def coordinator(self) -> Coordinator:
        """One that has just begun, whose read model has nothing yet."""
        return Coordinator(self.log, self.payloads, lambda: (0, []))

    def load(self, id: UUID) -> SuiteRun:
        """A suite run as it is now."""
        return self.log.load(SuiteRun, id)

    def requested(self) -> dict[UUID, Execution.Requested]:
        """The executions that were asked for."""
        events = (recorded.event for recorded in self.log.read(0, 10**6, (Execution.Requested.TOPIC,)))
        return {event.originator_id: event for event in events}

    def end(self, id: UUID, verdict: Any = "passed", **outputs: Any) -> None:
        """An execution runs and ends."""
        execution = self.log.load(Execution, id)
        execution.start_attempt(BY, execution.attempt, "a")
        execution.finish(BY, execution.attempt, "a", verdict, outputs=outputs)
        self.log.put(execution)

    def end_case(self, run: UUID, number: int, verdict: Any = "passed", **outputs: Any) -> None:
        """The execution of a case runs and ends."""
        self.end(self.load(run).execution_of(number), verdict, **outputs)
