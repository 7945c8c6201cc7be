"""Local runs: the engine of the workers, over logs in memory, in this process."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from application.actions.registry import ACTIONS
from application.attempts import Attempt, Tools
from application.claims import begin_local
from application.engine.egress import LocalPolicy
from application.engine.observer import Observer
from application.engine.once import Once
from application.executions import Executions, RunRequest
from application.memory_log import MemoryLog
from application.payloads import MemoryPayloads
from domain.events import Actor
from domain.execution import Execution
from domain.masking import Masker
from domain.values import dataclass
from interfaces.adapters.made_up import made_up
from interfaces.cli.planning.plan import Planned
from interfaces.cli.reports.events import plain_event
from interfaces.cli.running.flow_library import FlowLibrary
from interfaces.cli.running.jobs import Job, Jobs
from interfaces.cli.running.snapshots import SnapshotFiles

POLL_SECONDS = 0.05
PASSED = ("passed", "passed_on_retry")
BY = Actor("user:local")
_WHY = {"interrupted": "the run was interrupted", "time_limit": "the time was up", "fail_fast": "a flow had failed"}


@dataclass(frozen=True, slots=True)
class Options:
    """How flows are run: how many at once, how often, which share of them (part i of n), and when to stop."""

    jobs: int = 1
    seed: str | None = None
    secret_names: frozenset[str] = frozenset()
    repeat: int = 1
    retries: int = 0
    share: tuple[int, int] = (1, 1)
    max_failures: int = 0
    max_seconds: float | None = None
    update_snapshots: bool = False
    accept_new_snapshots: bool = True


class LocalRun:
    """Runs flows, some at a time; `on_event` gets every recorded event as plain data, in order."""

    def __init__(
        self,
        flows: Sequence[Planned],
        on_event: Callable[[dict[str, Any]], None],
        *,
        options: Options,
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
        retried: Callable[[str, str], None] = lambda old, new: None,
        mock_bind: str = "127.0.0.1",
        tick: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda text: None,
        observer: Observer | None = None,
        observed: str | None = None,
    ) -> None:
        """`folder` is what flows may read files below; `retried` is told the ids of an execution and of its repetition.
        `observer` is asked before and after each step of the flow in the file `observed`."""

        self._on_event = on_event
        self._snapshots = SnapshotFiles(update=options.update_snapshots, accept_new=options.accept_new_snapshots)
        self._library = FlowLibrary(folder) if folder is not None else None
        self._options = options
        self._retried = retried
        self._tick = tick
        self._note = note
        self._observer, self._observed = observer, observed
        self._log = MemoryLog("executions")
        self._tools = Tools(
            self._log,
            MemoryPayloads(),
            ACTIONS,
            LocalPolicy(),
            secrets.token_bytes(32),
            dict(environ or {}),
            folder=folder,
            once=Once(),
            flows=self._library,
            snapshots=self._snapshots,
            faker=made_up,
            mock_bind=mock_bind,
        )
        self.jobs = Jobs(flows, rounds=options.repeat, share=options.share)
        self._running: set[Attempt] = set()
        self._secrets: dict[str, set[str]] = {}
        """By the flow's file, what was secret in it: also for the flows that need it."""
        self._masker: Masker | None = None
        self._bad = 0
        self._halted: str | None = None

    @property
    def total(self) -> int:
        """How many executions there will be, repetitions of failed ones aside."""
        return self.jobs.total

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Names of flows that were never begun, and why."""
        return [(flow.definition.name, why) for flow, why in self.jobs.skipped]

    @property
    def sources(self) -> dict[str, str]:
        """The texts of flows that were called, by file."""
        return self._library.sources if self._library is not None else {}

    masks_all = True
    """Whether `masked` knows all secrets of the run."""

    def masked(self, value: Any) -> Any:
        """A value without the secrets that any flow of the run came to know."""
        if self._masker is None:
            self._masker = Masker(self._tools.mask_key)
            for secret in set[str]().union(*self._secrets.values()):
                self._masker.add(secret)
        return self._masker.mask(value)

    @property
    def halted(self) -> str | None:
        """`interrupted`, `time_limit` or `fail_fast` when the run was ended early."""
        return self._halted

    def run(self) -> None:
        """Run them all; returns when every begun flow has ended, teardown included."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        limit = loop.call_later(self._options.max_seconds, self._halt, "time_limit") if self._options.max_seconds else None
        follower = asyncio.create_task(self._follow())
        try:
            await asyncio.gather(*(self._work() for _ in range(self._options.jobs)))
        finally:
            if limit is not None:
                limit.cancel()
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            await self._tools.close()
            self._drain()
            self._snapshots.write()

    async def _work(self) -> None:
        while (job := await self.jobs.next()) is not None:
            attempt = await self._settled(job)
            passed = attempt is not None and attempt.verdict in PASSED
            await self.jobs.done(job, passed=passed, outputs=attempt.outputs if attempt is not None else {})

    async def _settled(self, job: Job) -> Attempt | None:
        """The job's last attempt: a flow that does not pass is run again as often as was asked for."""
        before: str | None = None
        attempt: Attempt | None = None
        for number in range(self._options.retries + 1):
            if self._halted:
                return attempt
            attempt = await self._one(job, number, before)
            if attempt.verdict in PASSED:
                return attempt
            before = str(attempt.execution_id)
        self._bad += 1
        if self._options.max_failures and self._bad >= self._options.max_failures:
            self._halt("fail_fast")
        return attempt

    async def _one(self, job: Job, number: int, before: str | None) -> Attempt:
        payloads = MemoryPayloads()
        names = self._options.secret_names
        hidden = {name: value for name, value in job.variables.items() if name in names}
        shown = {name: value for name, value in job.variables.items() if name not in names}
        unrecorded = {"needs": self.jobs.needed_outputs(job.flow)} if job.flow.needs else {}
        wanted = RunRequest(
            "local",
            job.flow.definition,
            job.flow.text,
            variables=shown,
            trigger="local",
            seed=self._seed(number),
            case=job.case,
        )
        id, _ = Executions(self._log, payloads).request(BY, wanted)
        if before is not None:
            self._retried(before, str(id))
        execution = self._log.load(Execution, id)
        begin_local(self._log, execution, "local")
        observer = self._observer if job.flow.file == self._observed else None
        tools = replace(self._tools, payloads=payloads, observer=observer)
        attempt = Attempt(tools, execution, "local", secrets=hidden, unrecorded=unrecorded, definition=job.flow.definition)
        for file in job.flow.needs:
            attempt.hide(self._secrets.get(file, ()))
        self._running.add(attempt)
        try:
            await attempt.run()
        finally:
            self._running.discard(attempt)
            self._log.forget(id)
            self._secrets.setdefault(job.flow.file, set()).update(attempt.hidden)
        return attempt

    def _seed(self, number: int) -> str | None:
        """That of the options, another for every repetition: what a failed try has made may still be there."""
        seed = self._options.seed
        return seed if seed is None or number == 0 else f"{seed}~{number}"

    def stop(self) -> None:
        """Cancel everything; teardown runs."""
        self._halt("interrupted")

    def _interrupt(self) -> None:
        """The first Ctrl-C cancels and tears down, the second ends the process."""
        if self._halted == "interrupted":
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        self._halt("interrupted")
        self._note(f"interrupted: tearing down {len(self._running)} under way; Ctrl-C again ends at once, without teardown")

    def _halt(self, why: str) -> None:
        self._halted = why
        self.jobs.stop(_WHY[why])
        for attempt in self._running:
            attempt.stop("cancelled")

    async def _follow(self) -> None:
        while True:
            self._drain()
            self._tick()
            await asyncio.sleep(POLL_SECONDS)

    def _drain(self) -> None:
        for recorded in self._log.take():
            self._on_event(plain_event(recorded.event, recorded.position))
