"""Local runs: which flow runs when, and when to stop; the flows themselves run in this process, or in one a core."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from application.engine.observer import Observer
from application.engine.once import Once
from domain.errors import Unavailable
from domain.masking import Masker
from domain.values import dataclass
from interfaces import loops
from interfaces.cli.planning.plan import Planned
from interfaces.cli.running.flow_runner import POLL_SECONDS, Ended, FlowRunner, Order, Runner, Setting
from interfaces.cli.running.jobs import Job, Jobs, number_of_processes
from interfaces.cli.running.results import WHY
from interfaces.cli.running.secret_variables import written_secrets

if TYPE_CHECKING:
    from interfaces.cli.running.processes import ChildRunner


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
        self._options = options
        self._retried = retried
        self._tick = tick
        self._note = note
        self._once = Once()
        self._mask_key = secrets.token_bytes(32)
        self._setting = Setting(
            {flow.file: flow for flow in flows},
            self._mask_key,
            folder=folder,
            environ=dict(environ or {}),
            mock_bind=mock_bind,
            update_snapshots=options.update_snapshots,
            accept_new_snapshots=options.accept_new_snapshots,
            observer=observer,
            observed=observed,
        )
        self.jobs = Jobs(flows, rounds=options.repeat, share=options.share)
        self._runners: list[Runner] = []
        self._position = 0
        self._secrets: dict[str, set[str]] = {}
        """By the flow's file, what was secret in it: also for the flows that need it."""
        self._masker: Masker | None = None
        self._bad = 0
        self._halted: str | None = None
        self._lost: Unavailable | None = None

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
        return {file: text for runner in self._runners for file, text in runner.sources.items()}

    verdict = None
    """The executions say it."""
    masks_all = True
    """Whether `masked` knows all secrets of the run."""

    def masked(self, value: Any) -> Any:
        """A value without the secrets that any flow of the run came to know."""
        if self._masker is None:
            self._masker = Masker(self._mask_key)
            for secret in set[str]().union(*self._secrets.values()):
                self._masker.add(secret)
        return self._masker.mask(value)

    @property
    def halted(self) -> str | None:
        """`interrupted`, `time_limit` or `fail_fast` when the run was ended early."""
        return self._halted

    def run(self) -> None:
        """Run them all; returns when every begun flow has ended, teardown included. Unavailable when a process was lost, or
        something could not be kept."""
        alone = self._setting.observer is not None
        others = 0 if alone else number_of_processes(self._options.jobs, self.total) - 1
        loops.run(self._run(self._in_processes(others) if others else []))

    def _in_processes(self, number: int) -> list[ChildRunner]:
        from interfaces.cli.running.processes import ChildRunner, forked

        return [ChildRunner(child, self._once, self._take) for child in forked(self._setting, number)]

    async def _run(self, others: Sequence[ChildRunner]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        limit = loop.call_later(self._options.max_seconds, self._halt, "time_limit") if self._options.max_seconds else None
        for runner in others:
            await runner.begin()
        self._runners = [FlowRunner(self._setting, self._once, self._take), *others]
        ticking = asyncio.create_task(self._ticking())
        takers = [number % len(self._runners) for number in range(self._options.jobs)]
        try:
            await asyncio.gather(*(self._work(taker) for taker in takers))
        finally:
            if limit is not None:
                limit.cancel()
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            closed = await asyncio.gather(*(runner.close() for runner in self._runners), return_exceptions=True)
        for error in (self._lost, *closed):
            if isinstance(error, BaseException):
                raise error

    async def _work(self, taker: int) -> None:
        while (job := await self.jobs.next(taker)) is not None:
            ended = await self._settled(job, taker)
            passed, outputs = (ended.passed, ended.outputs) if ended is not None else (False, {})
            await self.jobs.done(job, passed=passed, outputs=outputs)

    async def _settled(self, job: Job, taker: int) -> Ended | None:
        """How the job's last execution ended: a flow that does not pass is run again as often as was asked for."""
        before: str | None = None
        ended: Ended | None = None
        for number in range(self._options.retries + 1):
            if self._halted:
                return ended
            try:
                ended = await self._one(job, number, before, self._runners[taker])
            except Unavailable as lost:
                self._lost = lost
                if self._runners[taker].lost:
                    await self.jobs.leave(taker)
                return None
            if ended.passed:
                return ended
            before = ended.id
        self._bad += 1
        if self._options.max_failures and self._bad >= self._options.max_failures:
            self._halt("fail_fast")
        return ended

    async def _one(self, job: Job, number: int, before: str | None, runner: Runner) -> Ended:
        names = self._options.secret_names
        order = Order(
            job.flow.file,
            job.case,
            self._seed(number),
            variables={name: value for name, value in job.variables.items() if name not in names},
            hidden={name: value for name, value in job.variables.items() if name in names},
            needed=self.jobs.needed_outputs(job.flow) if job.flow.needs else None,
            secrets=frozenset(secret for file in job.flow.needs for secret in self._secrets.get(file, ()))
            | written_secrets(job.flow, names, self._setting.environ),
        )

        def begun(id: str) -> None:
            if before is not None:
                self._retried(before, id)

        ended = await runner.run(order, begun)
        self._secrets.setdefault(job.flow.file, set()).update(ended.secrets)
        return ended

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
        under_way = sum(runner.running for runner in self._runners)
        self._note(f"interrupted: tearing down {under_way} under way; Ctrl-C again ends at once, without teardown")

    def _halt(self, why: str) -> None:
        self._halted = why
        self.jobs.stop(WHY[why])
        for runner in self._runners:
            runner.stop()

    async def _ticking(self) -> None:
        while True:
            self._tick()
            await asyncio.sleep(POLL_SECONDS)

    def _take(self, events: Sequence[dict[str, Any]]) -> None:
        for event in events:
            self._position += 1
            self._on_event({**event, "feed_id": self._position})
