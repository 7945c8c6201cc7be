"""The worker's side: starts the process of an execution's plugins, answers what they ask, and ends it when it does not end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from application.engine.action import ActionContext, KeptNames
from application.engine.bodies import Body, BodyResult
from application.engine.errors import ActionError
from domain.limits import LIMITS, MIB
from domain.values import dataclass
from interfaces.workers.plugins.wire import Message, NotPlain, TooLarge, packed, raised, receive, told

CANCEL_SECONDS = 0.5
"""How long a plugin may take to release what it holds when its step is stopped."""
CLOSE_SECONDS = 5.0
"""How long all of them may take when the execution ends."""
logger = logging.getLogger("testmesh.plugins")


@dataclass(slots=True, eq=False, repr=False)
class _Run:
    """One call of an action, under way."""

    action: str
    context: ActionContext
    end: asyncio.Future[Message]
    answers: set[asyncio.Task[None]] = field(default_factory=set)


class PluginProcess:
    """The process of one execution's plugins: started by the first step that needs it, and again should it end."""

    def __init__(self) -> None:
        self._live: _Live | None = None
        self._starting = asyncio.Lock()

    async def run(self, action: str, owner: str, config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """The action's result. What it raises is raised here; ActionError `plugin_ended` when its process ends instead."""
        async with self._starting:
            if self._live is None or self._live.ended:
                self._live = await _Live.started()
        return await self._live.run(action, owner, config, context)

    async def close(self) -> None:
        """Let it close what plugins left open, then end."""
        if self._live is not None:
            await self._live.close()


class _Live:
    """A process that was started, and the conversation with it."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._runs: dict[int, _Run] = {}
        self._numbers = itertools.count()
        self._kept: list[KeptNames] = []
        self._wrong = ""
        """Why it was ended from here."""
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def started(cls) -> _Live:
        """A new process, bounded before it imports a plugin. What it prints goes to this process's stderr."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "interfaces.workers.plugins.child", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                pass_fds=(theirs.fileno(),),
                env=environ_of_plugins(os.environ),
                start_new_session=True,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        most = {"memory": LIMITS.plugin_memory_bytes, "cpu": LIMITS.plugin_cpu_seconds, "file": LIMITS.written_bytes}
        writer.write(packed({"limits": asdict(LIMITS), "most": most}))
        return cls(process, reader, writer)

    @property
    def ended(self) -> bool:
        """Whether nothing can be run in it any more."""
        return self._listening.done() or bool(self._wrong)

    async def run(self, action: str, owner: str, config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See PluginProcess.run."""
        number = next(self._numbers)
        run = self._runs[number] = _Run(action, context, asyncio.get_running_loop().create_future())
        try:
            self._send({"run": number, "action": action, "config": config, **_told(context)})
            end = await self._ended(number, run)
        finally:
            for answer in run.answers:
                answer.cancel()
            self._runs.pop(number, None)
        if "ended" in end:
            raise self._gone(action, owner, end["ended"])
        if "error" not in end:
            result: Mapping[str, Any] = end["result"]
            return result
        raise _fault(raised(end["error"]), action, owner)

    async def _ended(self, number: int, run: _Run) -> Message:
        """How the run ends. One that is stopped may release what it holds; if it takes too long, its process is ended."""
        try:
            return await asyncio.shield(run.end)
        except asyncio.CancelledError:
            self._send({"cancel": number})
            done, _ = await asyncio.wait({run.end}, timeout=CANCEL_SECONDS)
            if not done:
                self._kill(f"{run.action} did not stop within {CANCEL_SECONDS:g} s")
            raise

    def _send(self, message: Message) -> None:
        try:
            self._write(packed(message))
        except NotPlain as error:
            raise ActionError("config", f"{error} cannot be given to an action of another package") from error
        except TooLarge as error:
            raise ActionError("limit", f"the config has {error}") from error

    async def _listen(self) -> None:
        try:
            while (message := await receive(self._reader)) is not None:
                self._take(message)
        except (ValueError, KeyError, TypeError, TooLarge) as error:
            self._kill(f"it said what cannot be understood: {error}")
        finally:
            self._writer.close()
        code = await self._process.wait()
        for run in self._runs.values():
            if not run.end.done():
                run.end.set_result({"ended": code})

    def _take(self, message: Message) -> None:
        if "log" in message:
            if (run := self._runs.get(message["log"])) is not None:
                run.context.log(message["level"], message["text"])
        elif "end" in message:
            if (run := self._runs.get(message["end"])) is not None and not run.end.done():
                run.context.exchange.update(message["exchange"])
                run.end.set_result(message)
        else:
            self._answer(message["ask"], message["run"], message["what"], message["with"])

    def _answer(self, number: int, run_number: int, what: str, values: list[Any]) -> None:
        run = self._runs.get(run_number)
        if run is None:
            self._reply(number, error=RuntimeError("the step has ended"))
        elif what in ("body", "bodies", "call"):
            task = asyncio.create_task(self._answer_later(number, run, what, values))
            run.answers.add(task)
            task.add_done_callback(run.answers.discard)
        else:
            try:
                self._reply(number, value=self._looked_up(run.context, what, values))
            except Exception as error:
                self._reply(number, error=error)

    async def _answer_later(self, number: int, run: _Run, what: str, values: list[Any]) -> None:
        try:
            self._reply(number, value=await _worked_for(run.context, what, values))
        except Exception as error:
            self._reply(number, error=error)

    def _reply(self, number: int, value: Any = None, error: Exception | None = None) -> None:
        try:
            data = packed({"answer": number, "value": value} if error is None else {"answer": number, "error": told(error)})
        except (NotPlain, TooLarge) as wrong:
            data = packed({"answer": number, "error": {"is": "bug", "message": f"the answer has {wrong}"}})
        self._write(data)

    def _write(self, data: bytes) -> None:
        if not self._writer.is_closing():  # else it is gone, and whoever waits is told so
            self._writer.write(data)

    def _looked_up(self, context: ActionContext, what: str, values: list[Any]) -> Any:
        match what, values:
            case "check", [str(host), str(address), int(port)]:
                return context.egress.check(host, address, port)
            case "allow" | "forbid", [str(address), int(port)]:
                return context.egress.allow(address, port) if what == "allow" else context.egress.forbid(address, port)
            case "policy", []:
                return context.egress.name
            case "evaluate", [str(text), dict(names)]:
                return context.evaluate(text, names)
            case "render", [value, dict(names)]:
                return context.render(value, names)
            case "values", [str(text), dict(names)]:
                return list(context.values(text, names))
            case "secrets", [value]:
                return bool(context.secrets(str(value)))
            case "mask", [value]:
                return context.mask(value)
            case "exchanges", []:
                return list(context.exchanges)
            case "exchange", [str(id)]:
                return context.exchanges.get(id)
            case "keep", [dict(names)]:
                self._kept.append(context.keep(names))
                return len(self._kept) - 1
            case "kept_render", [int(kept), value, dict(names), int(number)]:
                return self._kept[kept].render(value, names, number)
            case "kept_evaluate", [int(kept), str(text), dict(names), int(number)]:
                return self._kept[kept].evaluate(text, names, number)
            case "learn", [list(results)] if context.bodies is not None:
                return context.bodies.learn(BodyResult(**fields) for fields in results)
        raise ValueError(f"nobody knows what {what} with {len(values)} values means")

    def _gone(self, action: str, owner: str, code: int) -> ActionError:
        hint = f"what it wrote stands in the worker's log; tell whoever maintains {owner.split()[0]}"
        if -code == signal.SIGXCPU:
            used = f"{LIMITS.plugin_cpu_seconds:,.0f} s of processor time"
            return ActionError("limit", f"{action} used more than {used} and was ended", hint=_raise("PLUGIN_CPU_SECONDS"))
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ActionError("plugin_ended", f"the process of {action} ({owner}) ended: {self._wrong or how}", hint=hint)

    def _kill(self, why: str) -> None:
        """End the process, and whatever it has started."""
        if self._process.returncode is None:
            logger.warning("the process of a plugin is ended: %s", why)
            self._wrong = why
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """See PluginProcess.close."""
        if not self.ended:
            self._send({"close": True})
        done, _ = await asyncio.wait({self._listening}, timeout=CLOSE_SECONDS)
        if not done:
            self._kill(f"it did not close within {CLOSE_SECONDS:g} s")
        await self._listening


def environ_of_plugins(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without the platform's own settings, among which are its passwords."""
    return {name: value for name, value in environ.items() if not name.startswith("TESTMESH_")}


def _told(context: ActionContext) -> Message:
    """What of the context can be sent along."""
    seconds = context.remaining()
    return {
        "seconds": None if seconds == float("inf") else seconds,
        "headers": dict(context.headers),
        "mock_bind": context.mock_bind,
        "bodies": None if context.bodies is None else context.bodies.layout(),
        "calls": context.call is not None,
        "folder": None if context.folder is None else str(context.folder),
        "bundled": context.bundled,
    }


async def _worked_for(context: ActionContext, what: str, values: list[Any]) -> Any:
    match what, values:
        case "body", [dict(body), bool(tolerant)] if context.bodies is not None:
            return asdict(await context.bodies.run(Body(**body), tolerant=tolerant))
        case "bodies", [list(wanted), int(at_once), bool(fail_fast)] if context.bodies is not None:
            bodies = (Body(**body) for body in wanted)
            found = await context.bodies.run_all(bodies, at_once=at_once, fail_fast=fail_fast)
            return [asdict(result) for result in found]
        case "call", [str(reference), dict(inputs), bool(sees)] if context.call is not None:
            return asdict(await context.call(reference, inputs, sees))
    raise ValueError(f"nobody knows what {what} with {len(values)} values means")


def _fault(error: Exception, action: str, owner: str) -> Exception:
    """The error in the words of a report."""
    if isinstance(error, MemoryError):
        said = f"{action} needed more than {LIMITS.plugin_memory_bytes / MIB:,.0f} MiB of memory"
        return ActionError("limit", said, hint=_raise("PLUGIN_MEMORY_BYTES"))
    if isinstance(error, RuntimeError):
        return ActionError("internal", str(error), hint=f"report this to whoever maintains {owner.split()[0]}")
    return error


def _raise(limit: str) -> str:
    return f"an operator raises it with TESTMESH_LIMIT_{limit}"
