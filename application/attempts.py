"""Runs an attempt of an execution, or the teardown of a lost one: from its pinned definition to its recorded end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from application.definitions import Definitions, Pinned
from application.engine.action import Action
from application.engine.egress import EgressPolicy, ExecutionPolicy
from application.engine.executor import Executor, Stop
from application.engine.scope import Names
from application.engine.step_runner import Surroundings, close_all
from application.log import Log, SideWrite
from application.payloads import Payloads
from application.recorder import AttemptRecorder, Fenced, unsealed
from domain.definition import FlowDefinition
from domain.errors import Refusal, Unavailable
from domain.execution import Execution
from domain.expressions import Builtins, ExpressionError, render
from domain.masking import Masker

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
    """The folder below which flows may read files: in local runs alone."""
    definitions: Definitions = field(init=False)
    shared: dict[str, Any] = field(default_factory=dict)
    """What actions of all executions share, such as pools of connections; closed with `close`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "definitions", Definitions(self.payloads, self.actions))

    async def close(self) -> None:
        """Close what executions shared, in the event loop in which they ran."""
        await close_all(self.shared)


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
    ) -> None:
        """`side` takes effect with the last event (the lease's row goes); `secrets` are variables that are recorded nowhere."""
        self.execution_id = execution.id
        self._tools = tools
        self._execution = execution
        self._teardown = teardown
        self._side = side
        self._masker = Masker(tools.mask_key)
        self._secrets = dict(secrets or {})
        for secret in self._secrets.values():
            self._masker.add(str(secret))
        attempt = execution.attempt
        self._recorder = AttemptRecorder(
            tools.log, tools.payloads, execution, attempt, worker, self._masker, teardown=teardown, gate=gate
        )
        self._executor: Executor | None = None
        self._stop: Stop | None = None

    @property
    def verdict(self) -> str | None:
        """The execution's verdict, once it is recorded."""
        return self._recorder.execution.verdict

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
        return None

    async def _run_attempt(self) -> int | None:
        try:
            executor = await self._prepared()
        except (Refusal, ExpressionError) as error:
            if isinstance(error, Unavailable):
                raise
            cause = "definition" if isinstance(error, ExpressionError) else error.code
            return await self._recorder.finish("error", error.message, {}, self._side, cause=cause)
        result = await executor.run()
        if result.stopped == "lost":
            return None
        if result.stopped == "drain":
            return await self._recorder.give_back(self._side)
        return await self._recorder.finish(result.verdict, result.message, result.outputs, self._side, cause=result.cause)

    async def _run_teardown(self) -> int | None:
        try:
            executor = await self._prepared()
            verdict = await executor.run_teardown()
        except (Refusal, ExpressionError) as error:
            if isinstance(error, Unavailable):
                raise
            logger.warning("teardown of execution %s cannot run: %s", self.execution_id, error.message)
            verdict = "error"
        if verdict == "lost" or self._stop == "lost":
            return None
        return await self._recorder.finish_taken_over(verdict, self._side)

    async def _prepared(self) -> Executor:
        begun = self._begin_now()
        pinned, names = await asyncio.to_thread(self._begin) if begun is None else begun
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
            folder=self._tools.folder,
        )
        self._executor = Executor(around, self._recorder, pinned.teardown_reads)
        if self._stop is not None:
            self._executor.stop(self._stop)
        return self._executor

    def _begin_now(self) -> tuple[Pinned, Names] | None:
        """As `_begin`, if nothing has to be fetched and decrypted for it."""
        request = self._execution.request
        pinned = self._tools.definitions.find(self._execution.workspace, request.document, request.file)
        return None if pinned is None or self._teardown else (pinned, self._names(pinned.definition))

    def _begin(self) -> tuple[Pinned, Names]:
        request = self._execution.request
        pinned = self._tools.definitions.read(self._execution.workspace, request.document, request.file)
        return pinned, self._names(pinned.definition)

    def _names(self, definition: FlowDefinition) -> Names:
        """The names at the start. Values of `env` are made from the clock at which the attempt started, so that a
        teardown on another worker gets the same ones."""
        execution = self._execution
        identity = {
            "flow": {"name": definition.name, "id": execution.request.flow_id, "file": execution.request.file},
            "execution": {"id": str(execution.id)},
            "attempt": execution.attempt,
        }
        given = {**execution.request.variables, **self._secrets}
        variables = self._variables(definition, identity, given)
        started = execution.started_at if not self._teardown else datetime.now(execution.started_at.tzinfo)
        names = Names(self._builtins(started, frozen=False), variables, identity)
        if self._teardown:
            names.values.update(unsealed(self._tools.payloads, execution.workspace, execution.outputs))
        return names

    def _variables(self, definition: FlowDefinition, identity: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """What the run was given wins over the flow's `env` and inputs, these over the process environment."""
        outside = {**self._tools.process_variables, **given}
        names = Names(self._builtins(self._execution.started_at, frozen=True), outside, identity)
        for name, value in {**definition.inputs, **definition.env}.items():
            if name not in given:
                names.values[name] = render(value, names.scope(f"env/{name}"))
        names.values["env"] = {name: names.values[name] for name in {**definition.env, **given}}
        return {name: value for name, value in names.values.items() if name not in identity}

    def _builtins(self, started: datetime, *, frozen: bool) -> Builtins:
        execution = self._execution
        identity = {
            "FLOW_ID": execution.request.flow_id or "",
            "FLOW_NAME": execution.request.flow_name,
            "EXECUTION_ID": str(execution.id),
        }
        clock = _no_time if frozen else time.monotonic
        # Flows of one run share its --seed; their values must differ all the same.
        seed = f"{execution.request.seed}|{execution.request.flow_name}"
        return Builtins(seed, execution.attempt, started, clock, identity)


def _no_time() -> float:
    return 0.0
