"""Runs an attempt of an execution, or the teardown of a lost one: from its pinned definition to its recorded end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from application.definitions import Definitions, Pinned
from application.engine.action import Action
from application.engine.calls import FlowFinder, starting_values
from application.engine.egress import EgressPolicy, ExecutionPolicy
from application.engine.ending import Stop
from application.engine.executor import Executor
from application.engine.observer import Observer
from application.engine.once import OnceRuns
from application.engine.open_calls import OpenCall, hide_secrets, split_state
from application.engine.scope import Names
from application.engine.snapshots import Snapshots, snapshot_functions
from application.engine.surroundings import Surroundings, close_all
from application.log import Log, SideWrite
from application.needed import handed_over, needed_executions
from application.payloads import Payloads
from application.places import Place, needs_files, worker_place
from application.recorder import AttemptRecorder, Fenced, unsealed
from domain.definition import FlowDefinition
from domain.errors import Refusal, Unavailable
from domain.execution import Execution
from domain.expressions import Builtins, ExpressionError
from domain.masking import Masker
from domain.values import dataclass

if TYPE_CHECKING:
    from application.folders import Folders

logger = logging.getLogger("testmesh.attempts")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tools:
    """What attempts of one process share. `mask_key` makes the tokens of masked secrets stable."""

    log: Log
    payloads: Payloads
    actions: Mapping[str, Action]
    egress: EgressPolicy
    mask_key: bytes
    process_variables: Mapping[str, Any] = field(default_factory=dict)
    """The process environment as flows see it: in local runs alone."""
    folder: Path | None = None
    """The folder below which flows read and write files, in local runs; the project's."""
    folders: Folders | None = None
    """Gives each attempt a folder of its own, with what its flow names: on workers."""
    snapshots: Snapshots | None = None
    """Accepted values of earlier runs, in local runs; on workers they come with the flow."""
    faker: Callable[[str, int], Any] | None = None
    """Made-up data by the name of a provider and a seed."""
    flows: FlowFinder | None = None
    """The flows that may be called, in local runs; on workers they come with the flow."""
    once: OnceRuns | None = None
    """What flows of a local run do a single time together; on workers the log says what the cases of a suite run do so."""
    observer: Observer | None = None
    """Who is asked before and after each step: a debugger, in local runs alone."""
    mock_bind: str = "127.0.0.1"
    """The address at which mock servers of flows listen."""
    definitions: Definitions = field(init=False)
    shared: dict[str, Any] = field(default_factory=dict)
    """What actions of all executions share, such as pools of connections; closed with `close`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "definitions", Definitions(self.payloads, self.actions))

    async def close(self) -> None:
        """Close what executions shared, in the event loop in which they ran, and remove their folders."""
        await close_all(self.shared)
        if self.folders is not None:
            await asyncio.to_thread(self.folders.close)


class Attempt:
    """One attempt under way in this process; the claim (AttemptStarted, or TeardownStarted with `teardown` > 0) is
    recorded already."""

    def __init__(
        self,
        tools: Tools,
        execution: Execution,
        worker: str,
        *,
        teardown: int = 0,
        side: Sequence[SideWrite] = (),
        gate: asyncio.Event | None = None,
        secrets: Mapping[str, Any] | None = None,
        unrecorded: Mapping[str, Any] | None = None,
        definition: FlowDefinition | None = None,
    ) -> None:
        """`side` takes effect with the last event (the lease's row goes); `secrets` are variables that are recorded nowhere and
        masked, `unrecorded` those that are only not recorded. `definition` is what the execution is pinned to, where it was
        read already."""
        self.execution_id = execution.id
        self._tools = tools
        self._execution = execution
        self._worker = worker
        self._teardown = teardown
        self._side = side
        self._masker = Masker(tools.mask_key)
        self._unrecorded = {**(unrecorded or {}), **(secrets or {})}
        for secret in (secrets or {}).values():
            self._masker.add(str(secret))
        self._definition = definition
        self.outputs: Mapping[str, Any] = {}
        """The flow's outputs when it has passed, not masked."""
        attempt = execution.attempt
        self._recorder = AttemptRecorder(
            tools.log, tools.payloads, execution, attempt, worker, self._masker, teardown=teardown, gate=gate
        )
        self._executor: Executor | None = None
        self._stop: Stop | None = None
        self._folder: Path | None = None
        self._calls: Sequence[OpenCall] = ()

    @property
    def hidden(self) -> frozenset[str]:
        """The secrets that this attempt knows of."""
        return frozenset(self._masker.known)

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these too."""
        for secret in secrets:
            self._masker.add(secret)

    @property
    def verdict(self) -> str | None:
        """The execution's verdict, once it is recorded."""
        return self._recorder.execution.verdict

    @property
    def running(self) -> list[str]:
        """The paths of the steps that run now."""
        return list(self._recorder.running)

    def stop(self, why: Stop) -> None:
        """Stop it from outside; a cancelled attempt still tears down, a lost or drained one leaves that to others."""
        if self._teardown and why in ("cancelled", "timed_out"):
            return
        self._stop = "lost" if "lost" in (why, self._stop) else self._stop or why
        if self._executor is not None:
            self._executor.stop(why)

    async def run(self) -> int | None:
        """Run to the recorded end; the position of the last event, None when the attempt belongs to others now."""
        try:
            return await (self._run_teardown() if self._teardown else self._run_attempt())
        except Fenced as fenced:
            logger.warning("execution %s: %s", self.execution_id, fenced)
        except Unavailable as error:
            logger.error("execution %s cannot be recorded and is left to others: %s", self.execution_id, error)
        finally:
            await self._tidy()
        return None

    async def _tidy(self) -> None:
        """Remove the folder; most are empty."""
        if self._folder is None or self._tools.folders is None:
            return
        try:
            self._folder.rmdir()
        except OSError:
            await asyncio.to_thread(self._tools.folders.remove, self._folder)

    async def _run_attempt(self) -> int | None:
        try:
            executor = await self._prepared()
        except (Refusal, ExpressionError) as error:
            if isinstance(error, Unavailable):
                raise
            cause = "definition" if isinstance(error, ExpressionError) else error.code
            remedy = f": {error.remedy}" if isinstance(error, Refusal) and error.remedy else ""
            return await self._recorder.finish("error", f"{error.message}{remedy}", {}, self._side, cause=cause)
        result = await executor.run()
        if result.stopped == "lost":
            raise Fenced(f"attempt {self._execution.attempt} has lost its lease")
        if result.stopped == "drain":
            return await self._recorder.give_back(self._side)
        self.outputs = result.outputs
        return await self._recorder.finish(result.verdict, result.message, result.outputs, self._side, cause=result.cause)

    async def _run_teardown(self) -> int | None:
        try:
            executor = await self._prepared()
            verdict = await executor.run_teardown(self._calls)
        except (Refusal, ExpressionError) as error:
            if isinstance(error, Unavailable):
                raise
            logger.warning("teardown of execution %s cannot run: %s", self.execution_id, error.message)
            verdict = "error"
        if verdict == "lost" or self._stop == "lost":
            raise Fenced(f"teardown {self._teardown} of attempt {self._execution.attempt} has lost its lease")
        return await self._recorder.finish_taken_over(verdict, self._side)

    async def _prepared(self) -> Executor:
        begun = self._begin_now()
        pinned, place, names = await asyncio.to_thread(self._begin) if begun is None else begun
        definition = pinned.definition
        around = Surroundings(
            definition,
            self._tools.actions,
            names,
            self._masker,
            ExecutionPolicy(self._tools.egress),
            {"X-TestMesh-Execution": str(self.execution_id), "X-TestMesh-Attempt": str(self._execution.attempt)},
            random.random,
            shared=self._tools.shared,
            folder=place.folder,
            bundled=place.bundled,
            near=place.file,
            once=self._once(),
            flows=place.flows,
            given=self._given(place),
            observer=self._tools.observer,
            mock_bind=self._tools.mock_bind,
        )
        self._executor = Executor(around, self._recorder, pinned.teardown_reads)
        if self._stop is not None:
            self._executor.stop(self._stop)
        return self._executor

    def _once(self) -> OnceRuns | None:
        """What runs a single time: for the flows of a local run, or for the cases of a suite run."""
        if self._tools.once is not None or self._execution.request.suite_run is None or self._teardown:
            return self._tools.once
        from application.once_recorded import RecordedOnce  # local runs have none

        return RecordedOnce(self._tools.log, self._tools.payloads, self._execution, self._worker)

    def _begin_now(self) -> tuple[Pinned, Place, Names] | None:
        """As `_begin`, if nothing has to be fetched and decrypted for it."""
        if self._teardown:
            return None
        if self._definition is not None:
            return self._begin()
        request = self._execution.request
        pinned = self._tools.definitions.find(self._execution.workspace, request.document, request.file)
        if pinned is None or needs_files(request.document, pinned.definition) or needed_executions(request):
            return None
        return self._begun(pinned)

    def _begin(self) -> tuple[Pinned, Place, Names]:
        request = self._execution.request
        if self._definition is not None:
            return self._begun(Pinned.of(self._definition))
        return self._begun(self._tools.definitions.read(self._execution.workspace, request.document, request.file))

    def _begun(self, pinned: Pinned) -> tuple[Pinned, Place, Names]:
        self._take_needed()
        place = self._place(pinned.definition)
        return pinned, place, self._names(pinned.definition, place)

    def _take_needed(self) -> None:
        """The outputs of the flows that this one needs in its suite run; what was secret there is secret here."""
        needed = needed_executions(self._execution.request)
        if not needed:
            return
        found = handed_over(self._tools.log, self._tools.payloads, self._execution.workspace, set(needed.values()))
        self.hide(secret for _, secrets in found.values() for secret in secrets)
        outputs = {name: found[id][0] if id in found else {} for name, id in needed.items()}
        self._unrecorded = {**self._unrecorded, "needs": outputs}

    def _place(self, definition: FlowDefinition) -> Place:
        tools = self._tools
        if tools.folders is None:
            return Place(self._execution.request.file, tools.folder, tools.flows, tools.snapshots)
        try:
            self._folder = tools.folders.make()
        except OSError as error:
            raise Unavailable(f"there is no room for the files of the flow: {error.strerror}") from error
        return worker_place(self._execution, definition, self._folder, tools.payloads, tools.definitions)

    def _given(self, place: Place) -> dict[str, Any]:
        return {**place.variables, **self._execution.request.variables, **self._unrecorded}

    def _names(self, definition: FlowDefinition, place: Place) -> Names:
        """The names at the start. Values of `env` are made from the clock at which the attempt started, so that a
        teardown on another worker gets the same ones."""
        execution = self._execution
        identity = {
            "flow": {
                "name": definition.name,
                "id": execution.request.flow_id,
                "file": execution.request.file,
                "case": execution.request.case,
            },
            "execution": {"id": str(execution.id)},
            "attempt": execution.attempt,
        }
        frozen = Names(self._builtins(execution.started_at, frozen=True), {}, identity)
        variables = starting_values(definition, self._given(place), self._tools.process_variables, frozen, "")
        started = execution.started_at if not self._teardown else datetime.now(execution.started_at.tzinfo)
        names = Names(self._builtins(started, frozen=False), variables, identity)
        if place.snapshots is not None:
            names.functions = snapshot_functions(place.snapshots, place.file, self._masker)
        if self._teardown:
            kept, self._calls = split_state(unsealed(self._tools.payloads, execution.workspace, execution.outputs))
            names.restore(kept)
            hide_secrets(definition, kept, self._masker)
        return names

    def _builtins(self, started: datetime, *, frozen: bool) -> Builtins:
        execution = self._execution
        identity = {
            "FLOW_ID": execution.request.flow_id or "",
            "FLOW_NAME": execution.request.flow_name,
            "EXECUTION_ID": str(execution.id),
        }
        clock = _no_time if frozen else time.monotonic
        seed = flow_seed(execution.request.seed, execution.request.flow_name, execution.request.case)
        return Builtins(seed, execution.attempt, started, clock, identity, self._tools.faker)


def flow_seed(seed: str, flow_name: str, case: str) -> str:
    """What random values are made from: flows of one run share its --seed, and their values must differ all the same."""
    return f"{seed}|{flow_name}|{case}" if case else f"{seed}|{flow_name}"


def _no_time() -> float:
    return 0.0
