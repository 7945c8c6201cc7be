"""Runs flows in this process, with the engine of the workers, over a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Protocol

from application.actions.registry import ACTIONS
from application.attempts import Attempt, Tools
from application.claims import begin_local
from application.engine.egress import LocalPolicy
from application.engine.observer import Observer
from application.engine.once import OnceRuns
from application.executions import Executions, RunRequest
from application.memory_log import MemoryLog
from application.payloads import MemoryPayloads
from domain.events import Actor
from domain.execution import Execution
from domain.values import dataclass
from interfaces.adapters.made_up import made_up
from interfaces.cli.planning.plan import Planned
from interfaces.cli.reports.events import plain_event
from interfaces.cli.running.flow_library import FlowLibrary
from interfaces.cli.running.snapshots import SnapshotFiles

POLL_SECONDS = 0.05
PASSED = ("passed", "passed_on_retry")
BY = Actor("user:local")


@dataclass(frozen=True, slots=True)
class Order:
    """One execution to be: the flow by its file, the row of data and its variables (`hidden` are recorded nowhere), what the
    flows that it needs have handed over and kept secret."""

    file: str
    case: str = ""
    seed: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict)
    needed: Mapping[str, Any] | None = None
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ended:
    """How an execution ended. `outputs` are not masked; `secrets` is what was secret in it."""

    id: str
    verdict: str | None
    outputs: Mapping[str, Any]
    secrets: frozenset[str]

    @property
    def passed(self) -> bool:
        """Whether it counts as a pass."""
        return self.verdict in PASSED


class Runner(Protocol):
    """Runs executions, in this process or in another."""

    @property
    def running(self) -> int:
        """How many are under way."""
        ...

    @property
    def lost(self) -> str:
        """Why it can run nothing more; empty while it can."""
        ...

    async def run(self, order: Order, begun: Callable[[str], None]) -> Ended:
        """Run one to its end, teardown included; `begun` is told its id before anything else is told of it. Unavailable when
        what it runs in, or what must be kept, is not there."""
        ...

    def stop(self) -> None:
        """Cancel all that are under way; their teardown runs."""
        ...

    async def close(self) -> None:
        """Let go of what executions shared, and keep what outlasts the run."""
        ...

    @property
    def sources(self) -> dict[str, str]:
        """The texts of flows that were called, by file; complete after `close`."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Setting:
    """What all runners of a run are made with. `folder` is what flows may read files below; `observer` is asked before and
    after each step of the flow in the file `observed`."""

    flows: Mapping[str, Planned]
    mask_key: bytes
    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    mock_bind: str = "127.0.0.1"
    update_snapshots: bool = False
    accept_new_snapshots: bool = True
    observer: Observer | None = None
    observed: str | None = None


class FlowRunner:
    """The runner of this process; `on_events` gets recorded events as plain data, in order."""

    lost = ""
    """This process is there as long as anything is."""

    def __init__(self, setting: Setting, once: OnceRuns, on_events: Callable[[Sequence[dict[str, Any]]], None]) -> None:
        self._setting = setting
        self._on_events = on_events
        self._snapshots = SnapshotFiles(update=setting.update_snapshots, accept_new=setting.accept_new_snapshots)
        self._library = FlowLibrary(setting.folder) if setting.folder is not None else None
        self._log = MemoryLog("executions")
        self._tools = Tools(
            self._log,
            MemoryPayloads(),
            ACTIONS,
            LocalPolicy(),
            setting.mask_key,
            dict(setting.environ),
            folder=setting.folder,
            once=once,
            flows=self._library,
            snapshots=self._snapshots,
            faker=made_up,
            mock_bind=setting.mock_bind,
        )
        self._running: set[Attempt] = set()
        self._follower: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self._running)

    @property
    def sources(self) -> dict[str, str]:
        """The texts of flows that were called, by file."""
        return self._library.sources if self._library is not None else {}

    async def run(self, order: Order, begun: Callable[[str], None]) -> Ended:
        """See Runner."""
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        flow = self._setting.flows[order.file]
        payloads = MemoryPayloads()
        wanted = RunRequest(
            "local",
            flow.definition,
            flow.text,
            variables=order.variables,
            trigger="local",
            seed=order.seed,
            case=order.case,
        )
        id, _ = Executions(self._log, payloads).request(BY, wanted)
        begun(str(id))
        execution = self._log.load(Execution, id)
        begin_local(self._log, execution, "local")
        observer = self._setting.observer if order.file == self._setting.observed else None
        tools = replace(self._tools, payloads=payloads, observer=observer)
        unrecorded = {} if order.needed is None else {"needs": order.needed}
        attempt = Attempt(tools, execution, "local", secrets=order.hidden, unrecorded=unrecorded, definition=flow.definition)
        attempt.hide(order.secrets)
        self._running.add(attempt)
        try:
            await attempt.run()
        finally:
            self._running.discard(attempt)
            self._log.forget(id)
        self.tell()  # before anything that follows from its end
        return Ended(str(id), attempt.verdict, attempt.outputs, attempt.hidden)

    def stop(self) -> None:
        """See Runner."""
        for attempt in self._running:
            attempt.stop("cancelled")

    def tell(self) -> None:
        """Hand over what was recorded since the last time."""
        taken = self._log.take()
        if taken:
            self._on_events([plain_event(recorded.event, recorded.position) for recorded in taken])

    async def close(self) -> None:
        """See Runner."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._tools.close()
        self.tell()
        self._snapshots.write()

    async def _follow(self) -> None:
        while True:
            self.tell()
            await asyncio.sleep(POLL_SECONDS)
