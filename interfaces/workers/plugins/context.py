"""What a plugin is given in its own process: the same context as in the worker, whose answers come from there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

from application.engine.action import ActionContext
from application.engine.bodies import Bodies, Body, BodyResult
from application.engine.calls import Called
from application.engine.egress import ExecutionPolicy
from domain.limits import LIMITS
from interfaces.workers.plugins.wire import Message


class Worker(Protocol):
    """Who answers."""

    def ask(self, run: int, what: str, *values: Any) -> Future[Any]:
        """The answer to a question of this run, later."""
        ...

    def log(self, run: int, level: str, text: str) -> None:
        """A line for the log of the execution."""
        ...


def context_of(worker: Worker, message: Message, resources: dict[str, Any], shared: dict[str, Any]) -> ActionContext:
    """The context of the run that the message begins."""
    run, seconds, begun = message["run"], message["seconds"], time.monotonic()

    def now(what: str) -> Callable[..., Any]:
        return lambda *values: worker.ask(run, what, *values).result()

    def remaining() -> float:
        return float("inf") if seconds is None else max(0.0, seconds - (time.monotonic() - begun))

    async def call(reference: str, inputs: Mapping[str, Any], sees: bool) -> Called:
        return Called(**await asyncio.wrap_future(worker.ask(run, "call", reference, dict(inputs), sees)))

    parts = now("values")
    return ActionContext(
        egress=cast(ExecutionPolicy, _Egress(now)),
        resources=resources,
        shared=shared,
        evaluate=lambda text, names: now("evaluate")(text, dict(names)),
        log=lambda level, text: worker.log(run, level, text),
        remaining=remaining,
        headers=message["headers"],
        limits=LIMITS,
        secrets=now("secrets"),
        render=lambda value, names: now("render")(value, dict(names)),
        keep=lambda names: _Kept(now, now("keep")(dict(names))),
        mock_bind=message["mock_bind"],
        bodies=None if message["bodies"] is None else cast(Bodies, _Bodies(worker, run, message["bodies"])),
        call=call if message["calls"] else None,
        folder=None if message["folder"] is None else Path(message["folder"]),
        bundled=message["bundled"],
        exchanges=_Exchanges(now),
        values=lambda text, names: [(part, value) for part, value in parts(text, dict(names))],
        mask=now("mask"),
    )


class _Egress:
    """Every address is judged by the worker."""

    def __init__(self, now: Callable[[str], Callable[..., Any]]) -> None:
        self.check = now("check")
        self.allow = now("allow")
        self.forbid = now("forbid")
        self.base = self
        self._name = now("policy")

    @property
    def name(self) -> str:
        return str(self._name())


class _Kept:
    """Names that the worker keeps."""

    def __init__(self, now: Callable[[str], Callable[..., Any]], kept: int) -> None:
        self._now = now
        self._kept = kept

    def render(self, value: Any, names: Mapping[str, Any], number: int) -> Any:
        return self._now("kept_render")(self._kept, value, dict(names), number)

    def evaluate(self, text: str, names: Mapping[str, Any], number: int) -> Any:
        return self._now("kept_evaluate")(self._kept, text, dict(names), number)


class _Exchanges(Mapping[str, Mapping[str, Any]]):
    """What earlier steps sent and received, fetched when it is looked at."""

    def __init__(self, now: Callable[[str], Callable[..., Any]]) -> None:
        self._now = now

    def __getitem__(self, id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] | None = self._now("exchange")(id)
        if found is None:
            raise KeyError(id)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._now("exchanges")())

    def __len__(self) -> int:
        return len(self._now("exchanges")())


class _Bodies:
    """Nested steps, which the worker runs."""

    def __init__(self, worker: Worker, run: int, ids: Mapping[str, Sequence[str]]) -> None:
        self._worker = worker
        self._run = run
        self._ids = ids

    def names(self, key: str) -> tuple[str, ...]:
        return tuple(name.removeprefix(f"{key}/") for name in self._ids if name.startswith(f"{key}/"))

    def ids(self, key: str) -> tuple[str, ...]:
        return tuple(self._ids.get(key, ()))

    def has(self, key: str) -> bool:
        return key in self._ids

    async def run(self, body: Body, *, tolerant: bool = False) -> BodyResult:
        return BodyResult(**await asyncio.wrap_future(self._worker.ask(self._run, "body", asdict(body), tolerant)))

    async def run_all(self, bodies: Iterable[Body], *, at_once: int = 1, fail_fast: bool = True) -> list[BodyResult]:
        wanted = [asdict(body) for body in bodies]
        found = await asyncio.wrap_future(self._worker.ask(self._run, "bodies", wanted, at_once, fail_fast))
        return [BodyResult(**fields) for fields in found]

    def learn(self, results: Iterable[BodyResult]) -> None:
        self._worker.ask(self._run, "learn", [asdict(result) for result in results]).result()
