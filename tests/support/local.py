"""Runs flows in this process as `testmesh run` does: in-memory log, real engine; gives the recorded events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from application.attempts import Attempt, Tools
from application.bundles import Bundle
from application.claims import begin_local
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from application.engine.egress import EgressPolicy
from application.executions import Executions, RunRequest
from application.flow_documents import read_flow
from application.memory_log import MemoryLog
from application.payloads import MemoryPayloads
from domain.events import Actor
from domain.execution import Execution
from domain.expressions import is_template

BY = Actor("user:test")


class Anywhere:
    """An egress policy for actions that go nowhere."""

    name = "anywhere"

    @property
    def base(self) -> EgressPolicy:
        """Itself."""
        return self

    def check(self, host: str, address: str, port: int) -> None:
        """Allowed."""


@dataclass
class Calls:
    """What the small actions below were asked to do, in order."""

    seen: list[Any]
    attempts: int = 0


def small_actions(calls: Calls) -> Mapping[str, Action]:
    """`say` gives its config back, `nap` sleeps, `flaky` works from the n-th time on, `fail`, `boom` and `late` do not."""

    async def say(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        calls.seen.append(config.get("message"))
        context.log("info", str(config.get("message")))
        if config.get("secret"):
            context.secrets(config["secret"])
        return {"body": config.get("message"), "headers": {"Set-Cookie": "sid=12345"}}

    async def nap(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        calls.seen.append("nap")
        await asyncio.sleep(config["seconds"])
        return {}

    async def flaky(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        calls.attempts += 1
        if calls.attempts < config["works_at"]:
            raise ActionError("connection_refused", "nobody listens")
        return {"attempts": calls.attempts}

    async def fail(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        raise ActionFailed("it does not hold", result={"seen": 1})

    async def boom(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        raise KeyError("a bug of the action")

    async def late(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        raise TimeoutError

    anything = Key(("any",))
    made = (
        Action("say", {"message": anything, "secret": anything}, say, result={"body": "The message."}),
        Action("nap", {"seconds": Key(("number",), True)}, nap),
        Action("flaky", {"works_at": Key(("integer",), True)}, flaky, result={"attempts": "How often."}),
        Action("fail", {}, fail),
        Action("boom", {}, boom),
        Action("late", {}, late),
    )
    return {action.name: action for action in made}


class Local:
    """One in-memory log and the engine over it."""

    def __init__(self, actions: Mapping[str, Action] | None = None, egress: EgressPolicy | None = None) -> None:
        self.calls = Calls([])
        self.actions = actions or small_actions(self.calls)
        self.log = MemoryLog("executions")
        self.payloads = MemoryPayloads()
        self.executions = Executions(self.log, self.payloads)
        self.tools = Tools(self.log, self.payloads, self.actions, egress or Anywhere(), b"k" * 32)

    def request(
        self, text: str, variables: Mapping[str, Any] | None = None, seed: str = "5eed", bundle: Bundle | None = None
    ) -> Execution:
        """Accept a run and begin its attempt."""
        definition, _ = read_flow(text, file="f.yaml", actions=self.actions)
        wanted = RunRequest("w", definition, text, variables=variables or {}, seed=seed, bundle=bundle or Bundle())
        id, _ = self.executions.request(BY, wanted)
        execution = self.log.load(Execution, id)
        begin_local(self.log, execution, "me")
        return execution

    def attempt(self, text: str, **options: Any) -> Attempt:
        """An attempt that is ready to run."""
        return Attempt(self.tools, self.request(text, **options), "me")

    async def run(self, text: str, **options: Any) -> list[Any]:
        """Run a flow to its end; its events."""
        attempt = self.attempt(text, **options)
        await attempt.run()
        await self.tools.close()
        return self.events()

    def events(self) -> list[Any]:
        """All events in order."""
        return [recorded.event for recorded in self.log.read(0, 10_000)]


def finished(events: list[Any]) -> Any:
    """The terminal event."""
    (end,) = [event for event in events if isinstance(event, Execution.Finished)]
    assert events[-1] is end
    return end


def outcomes(events: list[Any]) -> dict[str, Any]:
    """Outcomes by the step's path."""
    return {event.path: event.outcome for event in events if isinstance(event, Execution.StepFinished)}


def topics(events: list[Any]) -> list[str]:
    """The events' names, without their aggregate's."""
    return [event.TOPIC.split(".", 1)[1] for event in events]


def flow(steps: str, **more: str) -> str:
    """A flow with these steps (YAML list, indented by nothing) and other keys."""

    def block(text: str) -> str:
        return "\n".join(f"    {line}" for line in text.strip("\n").splitlines())

    assert not is_template(more.get("name", ""))
    head = "".join(f"  {key}:\n{block(value)}\n" for key, value in more.items())
    return f"flow:\n  name: a flow\n{head}  steps:\n{block(steps)}\n"
