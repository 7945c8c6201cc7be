"""Records a running attempt: the engine's reports become events, at most one commit behind, fenced by attempt and worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import orjson

from application.engine.progress import Pending
from application.excerpts import fit, fit_outcome, is_light, plain, plain_outcome, shorten
from application.log import SNAPSHOT_EVERY, Log, LostTail, SideWrite, VersionConflict
from application.payloads import Payloads
from domain.definition import Phase, Step
from domain.errors import LimitExceeded, Unavailable
from domain.events import Actor
from domain.execution import AttemptNotMine, Execution
from domain.limits import LIMITS
from domain.masking import Masker
from domain.outcome import StepOutcome, Verdict

Command = Callable[[Execution], None]
SEALED = "$sealed"
"""Marks a value of a step's state that is kept in a payload, encrypted."""
LIGHT = 16_384
"""Characters and values of a result up to which it is encoded at once; more would hold up the event loop."""
PATIENCE = 60.0
"""Seconds that a worker keeps trying to record while PostgreSQL is away; its lease ends it earlier."""
LOAD_AGAIN_SECONDS = 0.2


class Fenced(Exception):
    """The attempt belongs to somebody else now: stop, and write nothing more."""


class AttemptRecorder:
    """The engine's Progress over the Execution aggregate, which stays in memory while the attempt runs."""

    def __init__(
        self,
        log: Log,
        payloads: Payloads,
        execution: Execution,
        attempt: int,
        worker: str,
        masker: Masker,
        *,
        teardown: int = 0,
        gate: asyncio.Event | None = None,
    ) -> None:
        """`teardown` is the number of a taken-over teardown, 0 for an attempt of one's own; no step begins while `gate`
        is not set."""
        self._log = log
        self._payloads = payloads
        self._masker = masker
        self._gate = gate
        self.execution = execution
        self._attempt = attempt
        self._worker = worker
        self._teardown = teardown
        self._by = Actor(f"worker:{worker}", correlation=str(execution.id))
        self._flight: tuple[Future[int], list[Command], list[SideWrite]] | None = None
        self._lock = asyncio.Lock()
        self._landed = execution.version
        self.running: dict[str, None] = {}
        """The paths of the steps that run."""

    def step_started(
        self, step: Step, path: str, phase: Phase, number: int, name: str, state: Mapping[str, Any], *, durable: bool
    ) -> Pending:
        """Append StepStarted; wait for it only when durable. LimitExceeded when the execution has too many events."""
        if phase != "teardown" and self.execution.version >= LIMITS.events_per_execution:
            raise LimitExceeded(f"an execution may have {LIMITS.events_per_execution} events; this one has reached it")
        self.running[path] = None
        values: dict[str, Any] = {"path": path, "phase": phase, "number": number, "name": name[:255], "action": step.action}
        if state:
            return self._start_call(values, state)
        commands: list[Command] = [
            lambda e: e.start_step(self._by, self._attempt, self._worker, **values, teardown=self._teardown)
        ]
        if (self._gate is not None and not self._gate.is_set()) or not self._append_now(commands):
            return self._start_step(commands, durable)
        return None if not durable or self._has_landed() else self._settled()

    async def _start_step(self, commands: list[Command], durable: bool) -> None:
        if self._gate is not None:
            await self._gate.wait()
        await self._append(commands)
        if durable:
            await self.settle()

    async def _start_call(self, values: dict[str, Any], state: Mapping[str, Any]) -> None:
        """What teardown of the call will read is committed before its first step acts."""
        kept, side = await asyncio.to_thread(self._kept, state)
        if self._gate is not None:
            await self._gate.wait()
        values = {**values, "state": kept, "teardown": self._teardown}
        await self._append([lambda e: e.start_step(self._by, self._attempt, self._worker, **values)], side)
        await self.settle()

    async def _settled(self) -> None:
        await self.settle()

    def step_finished(
        self, path: str, phase: Phase, outcome: StepOutcome, state: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]
    ) -> Pending:
        """Append the step's log lines and StepFinished; a big result goes to a payload."""
        self.running.pop(path, None)
        if state or not is_light(outcome.result, LIGHT):
            return self._finish_step(path, phase, outcome, state, logs)
        record, payload, side = self._bounded(outcome)
        commands = self._ended(path, phase, record, {}, payload, logs)
        return None if self._append_now(commands, side) else self._append(commands, side)

    async def _finish_step(
        self, path: str, phase: Phase, outcome: StepOutcome, state: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]
    ) -> None:
        """What is large is encoded beside the event loop."""
        record, payload, side = await asyncio.to_thread(self._bounded, outcome)
        kept, more = await asyncio.to_thread(self._kept, state) if state else ({}, [])
        await self._append(self._ended(path, phase, record, kept, payload, logs), [*side, *more])

    def _ended(
        self,
        path: str,
        phase: Phase,
        record: dict[str, Any],
        kept: dict[str, Any],
        payload: dict[str, Any] | None,
        logs: Sequence[Mapping[str, Any]],
    ) -> list[Command]:
        teardown = self._teardown
        values: dict[str, Any] = {"phase": phase, "outcome": record, "state": kept, "payload": payload}
        values |= {"path": path, "teardown": teardown}
        commands: list[Command] = []
        if logs:
            written: dict[str, Any] = {"path": path, "lines": _lines(logs), "teardown": teardown}
            commands.append(lambda e: e.write_log(self._by, self._attempt, self._worker, **written))
        commands.append(lambda e: e.finish_step(self._by, self._attempt, self._worker, **values))
        return commands

    def crowded(self) -> bool:
        """Loops may fill half of an execution's events."""
        return self.execution.version >= LIMITS.events_per_execution // 2

    async def teardown_started(self) -> None:
        """Append TeardownStarted of an attempt's own teardown (a taken-over one was started by its claim)."""
        if not self._teardown:
            await self._append([lambda e: e.start_teardown(self._by, self._attempt, self._worker, 0)])

    async def teardown_finished(self, verdict: str) -> None:
        """Append TeardownFinished of an attempt's own teardown."""
        await self._append([lambda e: e.finish_teardown(self._by, self._attempt, self._worker, 0, verdict)])

    async def finish(
        self, verdict: Verdict, message: str, outputs: Mapping[str, Any], side: Sequence[SideWrite], *, cause: str = ""
    ) -> int:
        """Append the terminal event and wait for it; its position."""
        text = self._masker.mask_text(message)[:1000]

        sealed, writes = await asyncio.to_thread(self._handed_over, outputs) if outputs else (None, [])

        def end(e: Execution) -> None:
            shown = fit(plain(self._masker.mask(dict(outputs))))
            e.finish(self._by, self._attempt, self._worker, verdict, cause, text, shown, sealed)

        await self._append([end], [*side, *writes])
        return await self.settle()

    async def finish_taken_over(self, verdict: str, side: Sequence[SideWrite]) -> int:
        """Append the end of a taken-over teardown, with what follows it, and wait."""
        number = self._teardown

        def end(e: Execution) -> None:
            e.finish_teardown(self._by, self._attempt, self._worker, number, verdict)

        await self._append([end], side)
        return await self.settle()

    async def give_back(self, side: Sequence[SideWrite]) -> int:
        """Append that the attempt is given back by a draining worker; it does not count."""
        await self._append([lambda e: e.give_back(self._by, self._attempt, self._worker)], side)
        return await self.settle()

    async def settle(self) -> int:
        """Wait until all is committed; the position of the last event."""
        async with self._lock:
            return await self._land()

    async def _append(self, commands: list[Command], side: Sequence[SideWrite] = ()) -> None:
        """Apply commands and send their events; the commit before must have landed first."""
        async with self._lock:
            await self._land()
            self._apply(commands)
            future = self._log.submit(self.execution, side=side, patience=PATIENCE)
            self._flight = (future, commands, list(side))

    def _append_now(self, commands: list[Command], side: Sequence[SideWrite] = ()) -> bool:
        """As `_append`, if nothing has to be waited for; whether it was so."""
        if self._lock.locked() or not self._has_landed() or self._snapshot_is_due():
            return False
        self._flight = None
        self._apply(commands)
        self._flight = (self._log.submit(self.execution, side=side, patience=PATIENCE), commands, list(side))
        return True

    def _has_landed(self) -> bool:
        """Whether the commit in flight, if there is one, is known to have succeeded."""
        if self._flight is None:
            return True
        future = self._flight[0]
        return future.done() and future.exception() is None

    def _apply(self, commands: Sequence[Command]) -> None:
        try:
            for command in commands:
                command(self.execution)
        except AttemptNotMine as error:
            raise Fenced(str(error)) from error

    async def _land(self) -> int:
        """Wait for the commit in flight. A conflict: load again, and if the attempt is still ours, decide again."""
        position = 0
        while self._flight is not None:
            future, commands, side = self._flight
            try:
                position = future.result() if future.done() else await asyncio.shield(asyncio.wrap_future(future))
                self._flight = None
                await self._snapshot()
            except VersionConflict:
                self.execution = await self._loaded()  # in flight until then: what was refused is not in the log
                self._flight = None
                self._apply_again(commands)
                self._flight = (self._log.submit(self.execution, side=side, patience=PATIENCE), commands, side)
            except LostTail as error:
                self._flight = None
                raise Fenced(str(error)) from error
        return position

    async def _loaded(self) -> Execution:
        """The execution as the log has it. A database that is away is asked again for as long as an append would."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return await asyncio.to_thread(self._log.load, Execution, self.execution.id)
            except Exception as error:
                from application.group_commit import is_connection_error  # local runs need none

                if not is_connection_error(error):
                    raise
                if time.monotonic() > end:
                    raise Unavailable(f"PostgreSQL does not answer: {error}") from error
            await asyncio.sleep(LOAD_AGAIN_SECONDS)

    async def _snapshot(self) -> None:
        """Long executions are loaded from a snapshot when somebody else has to decide about them."""
        due = self._snapshot_is_due()
        before, self._landed = self._landed, self.execution.version
        if due:
            await asyncio.to_thread(self._log.snapshot_when_long, self.execution, before)

    def _snapshot_is_due(self) -> bool:
        return self.execution.version // SNAPSHOT_EVERY > self._landed // SNAPSHOT_EVERY

    def _apply_again(self, commands: Sequence[Command]) -> None:
        from domain.execution import ExecutionFinished

        try:
            self._apply(commands)
        except ExecutionFinished as error:
            raise Fenced(str(error)) from error

    def _bounded(self, outcome: StepOutcome) -> tuple[dict[str, Any], dict[str, Any] | None, list[SideWrite]]:
        """The outcome as plain data that fits an event; what does not fit is kept whole as a payload."""
        record = plain_outcome(outcome)
        if len(orjson.dumps(record)) <= LIMITS.excerpt_bytes:
            return record, None, []
        body = orjson.dumps({"result": record["result"], "exchange": record["exchange"]})
        if len(body) <= LIMITS.excerpt_bytes:
            return fit_outcome(record), None, []
        reference, side = self._payloads.seal(self.execution.workspace, body)
        record["result"], record["exchange"] = shorten(record["result"]), shorten(record["exchange"])
        return fit_outcome(record), dict(reference), side

    def _handed_over(self, outputs: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[SideWrite]]:
        """What other cases of the suite run get: the outputs as they are, and what is secret."""
        if self.execution.request.suite_run is None:
            return None, []
        content = {"outputs": plain(dict(outputs)), "secrets": sorted(self._masker.known)}
        reference, side = self._payloads.seal(self.execution.workspace, orjson.dumps(content))
        return dict(reference), side

    def _kept(self, state: Mapping[str, Any]) -> tuple[dict[str, Any], list[SideWrite]]:
        """What teardown will read: small plain values as they are; secrets and big values sealed in a payload."""
        kept: dict[str, Any] = {}
        side: list[SideWrite] = []
        for name, value in state.items():
            value = plain(value)
            body = orjson.dumps(value)
            if len(body) <= LIMITS.excerpt_bytes and self._masker.mask(value) == value:
                kept[name] = value
                continue
            reference, writes = self._payloads.seal(self.execution.workspace, body)
            kept[name] = {SEALED: dict(reference)}
            side.extend(writes)
        return kept, side


def unsealed(payloads: Payloads, workspace: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """The names that an attempt's events kept for its teardown, with their values."""
    values: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, dict) and set(value) == {SEALED}:
            value = orjson.loads(payloads.open(workspace, value[SEALED]))
        values[name] = value
    return values


def _lines(logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    kept = [{"level": line["level"], "message": str(line["message"])[:2000]} for line in logs[:20]]
    if len(logs) > len(kept):
        kept.append({"level": "warning", "message": f"{len(logs) - len(kept)} more lines were left out"})
    return plain(kept)  # type: ignore[no-any-return]
