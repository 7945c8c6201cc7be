"""Steps that run once for all cases of a suite run, on whichever workers these are: claimed and shared through the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import orjson

from application.engine.once import Shared
from application.excerpts import plain, plain_outcome
from application.log import Log, VersionConflict
from application.payloads import Payloads
from domain.events import Actor
from domain.execution import Execution
from domain.once_step import OnceStep, once_uuid
from domain.outcome import AssertionOutcome, StepError, StepOutcome, Try

FIRST_PAUSE, LAST_PAUSE = 0.05, 0.5
"""Seconds between two looks at a step that another runs, at first and at most."""
HOLDER_SECONDS = 1.0
"""How often it is looked whether whoever runs it is still there."""
logger = logging.getLogger("testmesh.once")


class RecordedOnce:
    """What one attempt knows of the steps that its suite run has in common. The claim of an attempt that has ended, or was
    lost, counts no more: whoever comes next runs the step."""

    def __init__(self, log: Log, payloads: Payloads, execution: Execution, worker: str) -> None:
        """`execution` belongs to a suite run."""
        belongs = execution.request.suite_run
        assert belongs is not None
        self._log = log
        self._payloads = payloads
        self._suite_run, self._cell = str(belongs["id"]), str(belongs.get("cell", ""))
        self._workspace, self._execution, self._attempt = execution.workspace, execution.id, execution.attempt
        self._by = Actor(f"worker:{worker}", correlation=self._suite_run)
        self._claimed: dict[str, OnceStep] = {}
        self._looking = asyncio.Lock()

    async def claim(self, name: str) -> Shared | None:
        """What the step came to; None when the caller has to run it, and then to tell `finish` or `give_up`."""
        pause, looked = FIRST_PAUSE, 0.0
        while True:
            look = time.monotonic() - looked >= HOLDER_SECONDS
            looked = time.monotonic() if look else looked
            async with self._looking:
                step = await asyncio.to_thread(self._seen, name, look)
                if step is not None and step.shared is None:
                    self._claimed[name] = step
                    return None
            if step is not None and step.shared is not None:
                return await asyncio.to_thread(self._opened, step.shared)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    def finish(self, name: str, shared: Shared) -> None:
        """Share it with all that wait and will come."""
        content = {
            "outcome": plain_outcome(shared.outcome),
            "result": plain(dict(shared.result)),
            "outputs": plain(shared.outputs),
            "flow": shared.flow,
        }
        reference, side = self._payloads.seal(self._workspace, orjson.dumps(content))
        step = self._claimed.pop(name)
        step.finish(self._by, dict(reference))
        self._log.submit(step, side=side).add_done_callback(_told)

    def give_up(self, name: str) -> None:
        """It did not come to its end here."""
        step = self._claimed.pop(name)
        step.give_up(self._by)
        self._log.submit(step).add_done_callback(_told)

    def _seen(self, name: str, look: bool) -> OnceStep | None:
        """The step when it has come to its end or is this attempt's now; None while another runs it. `look` says whether to see
        if that one is still there."""
        step = self._log.find(OnceStep, once_uuid(self._suite_run, self._cell, name))
        if step is None:
            values: dict[str, Any] = {"workspace": self._workspace, "suite_run": self._suite_run, "cell": self._cell}
            step = OnceStep.claim(self._by, name=name, execution=self._execution, attempt=self._attempt, **values)
        elif step.shared is not None:
            return step
        elif step.holder is None or (look and not self._is_there(name, *step.holder)):
            step.reclaim(self._by, self._execution, self._attempt)
        else:
            return None
        try:
            self._log.put(step)
        except VersionConflict:
            return None
        return step

    def _is_there(self, name: str, execution: str, attempt: int) -> bool:
        """Whether an attempt still runs the step; of this attempt itself that is known here."""
        if (execution, attempt) == (str(self._execution), self._attempt):
            return name in self._claimed
        found = self._log.find(Execution, UUID(execution))
        return found is not None and found.status == "running" and found.attempt == attempt

    def _opened(self, reference: Mapping[str, Any]) -> Shared:
        content = orjson.loads(self._payloads.open(self._workspace, reference))
        return Shared(_outcome(content["outcome"]), content["result"], content["outputs"], content["flow"])


def _told(done: Future[int]) -> None:
    """What could not be recorded is run again by others; a conflict says that they do so already."""
    error = done.exception()
    if error is not None and not isinstance(error, VersionConflict):
        logger.warning("a step that runs once could not be shared: %s", error)


def _outcome(record: Mapping[str, Any]) -> StepOutcome:
    """The outcome that was recorded as plain data."""
    tries = tuple(Try(**{**made, "error": _error(made["error"]), "assertions": _checks(made)}) for made in record["tries"])
    return StepOutcome(**{**record, "tries": tries, "error": _error(record["error"])})


def _checks(made: Mapping[str, Any]) -> tuple[AssertionOutcome, ...]:
    return tuple(
        AssertionOutcome(**{**check, "values": tuple(map(tuple, check["values"])), "diff": tuple(check["diff"])})
        for check in made["assertions"]
    )


def _error(record: Mapping[str, Any] | None) -> StepError | None:
    return None if record is None else StepError(**record)
