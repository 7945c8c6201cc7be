"""The SuiteRun aggregate: many cases run as one, each an execution of its own, in the order of their needs, to one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args
from uuid import UUID

from domain.duration import spoken_duration
from domain.errors import Conflict
from domain.events import Actor, RecordedAggregate
from domain.suite_case import Case, case_uuid, in_portions
from domain.suite_rules import check_cases

CaseStatus = Literal["waiting", "running", "ended", "skipped"]
STATUSES: tuple[CaseStatus, ...] = get_args(CaseStatus)
Reason = Literal["needs", "fail_fast", "cancelled", "timed_out", "not_startable"]
"""Why a case is skipped: one that it needs did not pass, another failed, the run was cancelled, its time is up, it cannot be
started."""
PASSED = ("passed", "passed_on_retry")
ORDER = ("passed", "passed_on_retry", "cancelled", "failed", "timed_out", "error")
"""Verdicts; the one that stands last weighs most."""


class SuiteRun(RecordedAggregate):
    """Requested with all its cases; they are started, end or are skipped, and then it is finished."""

    TOPIC = "suite_run"

    class Event(RecordedAggregate.Event):
        """Base of the suite run's events."""

    class Requested(Event, RecordedAggregate.Created):
        """Somebody wants these cases run, `parallel` at once at most. `selection` is what was asked for; `plan` is the payload
        that holds what each case runs with; `origin` is the suite run whose failed cases these are, `root` the first of all.
        It may take `timeout` seconds, 0 for any time, which are over at `deadline` of the database's clock (ISO 8601)."""

        TOPIC = "suite_run.requested"
        class_version = 2
        name: str
        selection: Mapping[str, Any]
        matrix: Mapping[str, Any]
        trigger: str
        parallel: int
        fail_fast: bool
        total: int
        plan: Mapping[str, Any]
        origin: str
        root: str
        request_digest: str
        timeout: float = 0.0
        deadline: str = ""

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """Version 2 may have a time limit."""
            state |= {"timeout": 0.0, "deadline": ""}

        def apply(self, aggregate: SuiteRun) -> None:
            """Nothing has begun."""
            aggregate.workspace, aggregate.request_digest = self.workspace, self.request_digest
            aggregate.name, aggregate.plan = self.name, self.plan
            aggregate.parallel, aggregate.fail_fast = self.parallel, self.fail_fast
            aggregate.origin, aggregate.root = self.origin, self.root
            aggregate.timeout, aggregate.deadline = self.timeout, self.deadline
            aggregate.cases, aggregate.statuses, aggregate.verdicts = [], [], []
            aggregate.cancel_requested = False
            aggregate.cancel_reason = ""
            aggregate.time_is_up = False
            aggregate.verdict = None

    Created = Requested

    class CasesPlanned(Event):
        """Some of its cases; they are numbered from 0 in the order in which they are planned."""

        TOPIC = "suite_run.cases_planned"
        first: int
        cases: Sequence[Mapping[str, Any]]

        def apply(self, aggregate: SuiteRun) -> None:
            """They wait."""
            aggregate.planned = self.originator_version
            aggregate.cases.extend(self.cases)
            aggregate.statuses.extend("waiting" for _ in self.cases)
            aggregate.verdicts.extend("" for _ in self.cases)

    class CasesStarted(Event):
        """The executions of these cases are requested in the transaction of this event."""

        TOPIC = "suite_run.cases_started"
        cases: Sequence[int]

        def apply(self, aggregate: SuiteRun) -> None:
            """They run."""
            for number in self.cases:
                aggregate.statuses[number] = "running"

    class CasesEnded(Event):
        """The executions of these cases have finished: {case, verdict, cause} each."""

        TOPIC = "suite_run.cases_ended"
        cases: Sequence[Mapping[str, Any]]

        def apply(self, aggregate: SuiteRun) -> None:
            """They have their verdicts."""
            for ended in self.cases:
                aggregate.statuses[ended["case"]] = "ended"
                aggregate.verdicts[ended["case"]] = ended["verdict"]

    class CasesSkipped(Event):
        """These cases are not run; `reason` is one of `Reason`, `why` says it in words."""

        TOPIC = "suite_run.cases_skipped"
        cases: Sequence[int]
        reason: str
        why: str

        def apply(self, aggregate: SuiteRun) -> None:
            """They are done with."""
            for number in self.cases:
                aggregate.statuses[number], aggregate.verdicts[number] = "skipped", self.reason

    class CancelRequested(Event):
        """Somebody wants it to stop."""

        TOPIC = "suite_run.cancel_requested"
        reason: str

        def apply(self, aggregate: SuiteRun) -> None:
            """Nothing more starts."""
            aggregate.cancel_requested = True
            aggregate.cancel_reason = self.reason

    class TimeLimitReached(Event):
        """It has not ended within its time."""

        TOPIC = "suite_run.time_limit_reached"

        def apply(self, aggregate: SuiteRun) -> None:
            """Nothing more starts."""
            aggregate.time_is_up = True

    class Finished(Event):
        """The end; `counts` says how many cases ended with each verdict, and how many were skipped."""

        TOPIC = "suite_run.finished"
        verdict: str
        counts: Mapping[str, int]

        def apply(self, aggregate: SuiteRun) -> None:
            """Nothing comes after."""
            aggregate.verdict = self.verdict

    if TYPE_CHECKING:
        request_digest: str
        name: str
        plan: Mapping[str, Any]
        parallel: int
        fail_fast: bool
        origin: str
        root: str
        timeout: float
        deadline: str
        planned: int
        """The version of the last event of the request."""
        cases: list[Mapping[str, Any]]
        statuses: list[str]
        verdicts: list[str]
        """Of each case that ended its verdict, of each that was skipped the reason."""
        cancel_requested: bool
        cancel_reason: str
        time_is_up: bool
        verdict: str | None

    @classmethod
    def thawed(cls, state: dict[str, Any]) -> dict[str, Any]:
        """An older release knew no time limit."""
        return {"timeout": 0.0, "deadline": "", "cancel_reason": "", "time_is_up": False, **state}

    def execution_of(self, number: int) -> UUID:
        """The id of a case's execution."""
        return case_uuid(self.id, self.cases[number]["key"])

    def last_of(self, group: int) -> int:
        """The last case of a flow in its cell, whose outputs others get."""
        return max(number for number, case in enumerate(self.cases) if case["group"] == group)

    def running(self) -> list[int]:
        """The cases whose executions have not ended."""
        return [number for number, status in enumerate(self.statuses) if status == "running"]

    def not_passed(self) -> list[int]:
        """The cases that were skipped, or ended with another verdict than a pass."""
        settled = enumerate(zip(self.statuses, self.verdicts, strict=True))
        return [n for n, (status, verdict) in settled if status in ("ended", "skipped") and verdict not in PASSED]

    @property
    def halted(self) -> str:
        """Why what runs has to stop; empty while it need not."""
        if self.cancel_requested:
            return "the suite run was cancelled" + (f": {self.cancel_reason}" if self.cancel_reason else "")
        if self.time_is_up:
            return f"the suite run did not end within {spoken_duration(self.timeout)}"
        if self.fail_fast and (failed := self._failed()) is not None:
            return f"{self.cases[failed]['name']} did not pass"
        return ""

    # Commands: what people ask for --------------------------------------------------------------------------------

    @classmethod
    def request(
        cls, by: Actor, *, id: UUID, workspace: str, cases: Sequence[Case], origin: SuiteRun | None = None, **values: Any
    ) -> SuiteRun:
        """Accept a suite run; `values` are the other fields of Requested."""
        check_cases(cases, values["parallel"])
        before, root = (str(origin.id), origin.root) if origin is not None else ("", str(id))
        made: SuiteRun = cls._begin(
            cls.Requested, by, id=id, workspace=workspace, total=len(cases), origin=before, root=root, **values
        )
        first = 0
        for records in in_portions(case.record() for case in cases):
            made._record(cls.CasesPlanned, by, first=first, cases=records)
            first += len(records)
        return made

    def request_cancel(self, by: Actor, reason: str = "") -> None:
        """Ask for the end: nothing more starts, what runs is cancelled. A second request, or one after the time limit, changes
        nothing."""
        if self.verdict is not None:
            raise Conflict(f"suite run {self.id} has already finished: {self.verdict}", code="already_finished")
        if not (self.cancel_requested or self.time_is_up):
            self._record(self.CancelRequested, by, reason=reason)

    # Commands of the coordinator ----------------------------------------------------------------------------------

    def end_cases(self, by: Actor, ended: Mapping[int, tuple[str, str]]) -> None:
        """Record how executions ended: (verdict, cause) by case; what is known already is left out."""
        new = [
            {"case": number, "verdict": verdict, "cause": cause}
            for number, (verdict, cause) in sorted(ended.items())
            if self.statuses[number] == "running"
        ]
        for records in in_portions(new):
            self._record(self.CasesEnded, by, cases=records)

    def skip(self, by: Actor, numbers: Sequence[int], reason: Reason, why: str) -> None:
        """Record that waiting cases are not run."""
        waiting = [number for number in numbers if self.statuses[number] == "waiting"]
        if waiting:
            self._record(self.CasesSkipped, by, cases=waiting, reason=reason, why=why[:500])

    def reach_time_limit(self, by: Actor) -> None:
        """Record that its time is up, if anything is left to do; to be asked when `deadline` has passed."""
        open = any(status in ("waiting", "running") for status in self.statuses)
        if open and self.verdict is None and not (self.time_is_up or self.cancel_requested):
            self._record(self.TimeLimitReached, by)

    def advance(self, by: Actor, start: Callable[[int], str] = lambda number: "") -> list[int]:
        """Decide what follows from what is recorded: skip, start, finish. The cases that are started, in order; `start` is
        asked for each of them and says why it cannot be, if it cannot."""
        started: list[int] = []
        while self.verdict is None:
            self._skip_some(by)
            ready = self._ready()
            refused = {number: why for number in ready if (why := start(number))}
            able = [number for number in ready if number not in refused]
            if able:
                self._record(self.CasesStarted, by, cases=able)
                started += able
            for number, why in refused.items():
                self.skip(by, [number], "not_startable", why)
            if not refused:
                break
        if self.verdict is None and not any(status in ("waiting", "running") for status in self.statuses):
            self._record(self.Finished, by, verdict=self._overall(), counts=self.counts())
        return started

    def counts(self) -> dict[str, int]:
        """How many cases there are of each verdict, and of each status without one."""
        shown = (v if s == "ended" else s for s, v in zip(self.statuses, self.verdicts, strict=True))
        return dict(sorted(Counter(shown).items()))

    def _waiting(self) -> list[int]:
        return [number for number, status in enumerate(self.statuses) if status == "waiting"]

    def _failed(self) -> int | None:
        """The first case whose execution did not pass."""
        return next((number for number in self.not_passed() if self.statuses[number] == "ended"), None)

    def _skip_some(self, by: Actor) -> None:
        if self.halted:
            reason: Reason = "cancelled" if self.cancel_requested else "timed_out" if self.time_is_up else "fail_fast"
            self.skip(by, self._waiting(), reason, self.halted)
        else:
            self._skip_dependants(by)

    def _skip_dependants(self, by: Actor) -> None:
        """Skip what needs a group that did not pass, and what needs those."""
        while True:
            bad = {self.cases[number]["group"]: number for number in self.not_passed()}
            found: dict[int, list[int]] = {}
            for number in self._waiting() if bad else ():
                culprit = next((bad[group] for group in self.cases[number]["needs"] if group in bad), None)
                if culprit is not None:
                    found.setdefault(culprit, []).append(number)
            if not found:
                return
            for culprit, numbers in found.items():
                self.skip(by, numbers, "needs", f"it needs {self.cases[culprit]['name']}, which did not pass")

    def _ready(self) -> list[int]:
        """The waiting cases whose needs have passed, as many as there is room for."""
        room = self.parallel - len(self.running())
        if room <= 0:
            return []
        unsettled = {case["group"] for case, status in zip(self.cases, self.statuses, strict=True) if status != "ended"}
        ready = (number for number in self._waiting() if unsettled.isdisjoint(self.cases[number]["needs"]))
        return [number for number, _ in zip(ready, range(room), strict=False)]

    def _overall(self) -> str:
        """Cancelled cases count only where nobody has asked for it, and skipped ones only where they could not be started."""
        settled = list(zip(self.statuses, self.verdicts, strict=True))
        stopped = any(one in settled for one in (("skipped", "cancelled"), ("skipped", "timed_out"), ("ended", "cancelled")))
        if (self.cancel_requested or self.time_is_up) and stopped:
            return "cancelled" if self.cancel_requested else "timed_out"
        verdicts = {verdict for status, verdict in settled if status == "ended"}
        if self.fail_fast and verdicts - {"cancelled", *PASSED}:
            verdicts.discard("cancelled")
        if ("skipped", "not_startable") in settled:
            verdicts.add("error")
        return max(verdicts, key=ORDER.index, default="error")
