"""The process in which the plugins of one execution run: what a worker starts, and speaks with over a socket.

Its main thread has the event loop of the plugins; another reads the socket, so that a question (`context.evaluate(...)`) can be
answered while the loop waits for it, and so that the process ends with its worker whatever the plugin does.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import resource
import socket
import sys
import threading
from concurrent.futures import Future
from typing import Any

from application.actions.registry import ACTIONS
from application.engine.errors import ActionError
from application.engine.surroundings import close_all
from domain.limits import LIMITS, replace_limits
from interfaces.workers.plugins.context import context_of
from interfaces.workers.plugins.wire import LENGTH, Message, NotPlain, TooLarge, packed, raised, told, unpacked

logger = logging.getLogger("testmesh.plugin")
CPU_GRACE = 5
"""Seconds between the signal that says that the processor time is used up and the end."""


class Child:
    """The plugin's side of the conversation."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._questions: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._resources: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}

    async def serve(self) -> None:
        """Run what the worker asks for until it says that this was all."""
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        threading.Thread(target=self._listen, name="worker", daemon=True).start()
        await self._closing.wait()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await close_all(self._resources)
        await close_all(self._shared)

    def ask(self, run: int, what: str, *values: Any) -> Future[Any]:
        """Put a question to the worker. NotPlain for values that cannot be sent."""
        number, answer = next(self._numbers), Future[Any]()
        self._questions[number] = answer
        self._send({"ask": number, "run": run, "what": what, "with": values})
        return answer

    def log(self, run: int, level: str, text: str) -> None:
        """Add a line to the execution's log."""
        self._send({"log": run, "level": str(level), "text": str(text)})

    def _send(self, message: Message) -> None:
        data = packed(message)
        with self._sending:
            self._connection.sendall(data)

    def _listen(self) -> None:
        """In a thread of its own. Whatever the plugin is doing, the end of the worker is the end of this process."""
        try:
            with self._connection.makefile("rb") as stream:
                while len(head := stream.read(LENGTH)) == LENGTH:
                    self._take(unpacked(stream.read(int.from_bytes(head, "big"))))
        finally:
            os._exit(0)

    def _take(self, message: Message) -> None:
        if "answer" in message:
            question = self._questions.pop(message["answer"])
            if "error" in message:
                question.set_exception(raised(message["error"]))
            else:
                question.set_result(message["value"])
        elif "run" in message:
            self._loop.call_soon_threadsafe(self._begin, message)
        elif "cancel" in message:
            self._loop.call_soon_threadsafe(self._cancel, message["cancel"])
        elif "close" in message:
            self._loop.call_soon_threadsafe(self._closing.set)

    def _begin(self, message: Message) -> None:
        self._tasks[message["run"]] = self._loop.create_task(self._run(message))

    def _cancel(self, run: int) -> None:
        if (task := self._tasks.get(run)) is not None:
            task.cancel()

    async def _run(self, message: Message) -> None:
        run = message["run"]
        context = context_of(self, message, self._resources, self._shared)
        end: Message = {"end": run}
        try:
            end["result"] = dict(await ACTIONS[message["action"]].run(message["config"], context))
        except BaseException as error:
            end["error"] = told(error)
            if end["error"]["is"] == "bug":
                logger.exception("%s failed in a way that it does not know", message["action"])
        finally:
            self._tasks.pop(run, None)
        end["exchange"] = context.exchange
        try:
            self._send(end)
        except (NotPlain, TooLarge) as error:
            self._send({"end": run, "error": told(_unsendable(message["action"], error)), "exchange": {}})


def _unsendable(action: str, error: Exception) -> ActionError:
    if isinstance(error, TooLarge):
        return ActionError("response_too_large", f"the result of {action} has {error}")
    said = f"the result of {action} has {error}: it must be plain data"
    return ActionError("internal", said, hint="docs/plugins.md says what that is")


def bounded(most: Message) -> None:
    """Bound what this process may use: memory and files in bytes, processor time in seconds."""
    _at_most(resource.RLIMIT_DATA, int(most["memory"]), 0)
    _at_most(resource.RLIMIT_CPU, int(most["cpu"]), CPU_GRACE)
    _at_most(resource.RLIMIT_FSIZE, int(most["file"]), 0)
    _at_most(resource.RLIMIT_CORE, 0, 0)


def _at_most(which: int, soft: int, grace: int) -> None:
    """The bound, but for what the machine bounds more narrowly already."""
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        soft, grace = min(soft, hard), min(grace, max(0, hard - soft))
    resource.setrlimit(which, (soft, soft + grace))


def main() -> None:
    """Serve the worker at the other end of the socket whose number the command line gives."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s plugin %(levelname)s %(name)s: %(message)s")
    connection = socket.socket(fileno=int(sys.argv[1]))
    size = int.from_bytes(connection.recv(LENGTH, socket.MSG_WAITALL), "big")
    first = unpacked(connection.recv(size, socket.MSG_WAITALL))
    replace_limits({name: value for name, value in first["limits"].items() if hasattr(LIMITS, name)})
    bounded(first["most"])
    asyncio.run(Child(connection).serve())


if __name__ == "__main__":
    main()
