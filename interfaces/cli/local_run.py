"""Local runs: the engine of the workers, over logs in memory, in this process."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from application.attempts import Attempt, Tools
from application.claims import begin_local
from application.executions import Executions, RunRequest
from application.memory_log import MemoryLog
from application.payloads import MemoryPayloads
from domain.events import Actor
from domain.execution import Execution
from interfaces.cli.plan import Planned
from interfaces.cli.reports.events import plain_event

POLL_SECONDS = 0.05
BY = Actor("user:local")


class LocalRun:
    """Runs flows, some at a time; `on_event` gets every recorded event as plain data, in order."""

    def __init__(
        self,
        flows: Sequence[Planned],
        on_event: Callable[[dict[str, Any]], None],
        *,
        jobs: int = 1,
        seed: str | None = None,
        secret_names: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        fail_fast: bool = False,
        max_seconds: float | None = None,
        mock_bind: str = "127.0.0.1",
        tick: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        from application.actions.registry import ACTIONS
        from application.engine.egress import LocalPolicy

        self._flows = flows
        self._on_event = on_event
        self._jobs = jobs
        self._seed = seed
        self._fail_fast = fail_fast
        self._max_seconds = max_seconds
        self._tick = tick
        self._note = note
        self._log = MemoryLog("executions")
        payloads = MemoryPayloads()
        self._executions = Executions(self._log, payloads)
        self._tools = Tools(
            self._log,
            payloads,
            ACTIONS,
            LocalPolicy(),
            secrets.token_bytes(32),
            dict(environ or {}),
            mock_bind=mock_bind,
        )
        self._secret_names = frozenset(secret_names)
        self._running: set[Attempt] = set()
        self._halted: str | None = None

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
        limit = loop.call_later(self._max_seconds, self._halt, "time_limit") if self._max_seconds else None
        follower = asyncio.create_task(self._follow())
        slots = asyncio.Semaphore(self._jobs)
        try:
            await asyncio.gather(*(self._one(flow, slots) for flow in self._flows))
        finally:
            if limit is not None:
                limit.cancel()
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            await self._tools.close()
            self._drain()

    async def _one(self, flow: Planned, slots: asyncio.Semaphore) -> None:
        async with slots:
            if self._halted:
                return
            hidden = {name: value for name, value in flow.variables.items() if name in self._secret_names}
            shown = {name: value for name, value in flow.variables.items() if name not in hidden}
            wanted = RunRequest("local", flow.definition, flow.text, variables=shown, trigger="local", seed=self._seed)
            id, _ = self._executions.request(BY, wanted)
            execution = self._log.load(Execution, id)
            self._tools.definitions.keep("local", execution.request.document, flow.definition)
            begin_local(self._log, execution, "local")
            attempt = Attempt(self._tools, execution, "local", secrets=hidden)
            self._running.add(attempt)
            await attempt.run()
            self._running.discard(attempt)
            self._log.forget(id)
            if self._fail_fast and attempt.verdict not in ("passed", "passed_on_retry"):
                self._halt("fail_fast")

    def _interrupt(self) -> None:
        """The first Ctrl-C cancels and tears down, the second ends the process."""
        if self._halted == "interrupted":
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        self._halt("interrupted")
        self._note(f"interrupted: tearing down {len(self._running)} under way; Ctrl-C again ends at once, without teardown")

    def _halt(self, why: str) -> None:
        self._halted = why
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
