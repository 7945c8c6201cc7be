"""The debugger at a prompt: shows where an attempt stands, and does what its user says."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import orjson

from application.documents.source import Source
from application.engine.observer import Halt
from domain.errors import NotFound
from domain.expressions import ExpressionError
from domain.outcome import StepOutcome, as_record
from interfaces.cli.debugging.breakpoints import at_steps, lines_of
from interfaces.cli.debugging.commands import Commands
from interfaces.cli.reports.failure import failure_text
from interfaces.cli.reports.model import Execution, Step
from interfaces.cli.terminal import Paint, cut, one_line, printable, say, size_of

HELP = """\
n, next       run this step (Enter does the same as the last command)
c, continue   run to the next breakpoint, or to a failure
s, skip       leave this step out
r, retry      run the failed step again
p, e EXPR     the value of an expression: p body.items[0].id
vars          variables, and what steps have left behind
out           the last step's result and outputs
bt            where this is: flows and steps from the outside in
l, list       the step as it is written
b STEP|LINE   stop there too
q, quit       stop; teardown runs
h, help       this"""
_VALUE_LINES = 40
_GO_ON = {"n": "next", "next": "next", "c": "continue", "continue": "continue", "s": "skip", "skip": "skip"}


class Stoppable(Protocol):
    """A run that can be stopped."""

    def stop(self) -> None:
        """Cancel what is under way, and tear down."""
        ...

    @property
    def halted(self) -> str | None:
        """Why it was ended early; None when it was not."""
        ...


class Debugger:
    """An observer that asks before each step, or at breakpoints, and after each failure."""

    def __init__(self, commands: Commands, breakpoints: Collection[str]) -> None:
        """`breakpoints` are ids, paths and lines of steps: without any, it stops before the first step."""
        self._commands = commands
        self._breakpoints = set(breakpoints)
        self.run: Stoppable | None = None
        """The run that it looks at; needed to quit."""
        self._running = bool(breakpoints)
        self._turn = asyncio.Lock()
        self._stack: dict[str, Halt] = {}
        self._last: tuple[Halt, StepOutcome] | None = None
        self._command = "next"
        self._paint = Paint(sys.stdout)

    async def before(self, halt: Halt) -> bool:
        """Show the step and ask, unless it runs on to a breakpoint. One step at a time, also of those side by side."""
        async with self._turn:
            self._stack[halt.path] = halt
            if not self._over and not (self._running and not self._is_breakpoint(halt)):
                self._running = False
                self._show_step(halt)
                if await self._ask(halt, failed=False) == "skip":
                    return False
            if self._over:
                await asyncio.sleep(0)  # where the cancellation comes through, unless this is teardown
            return True

    async def after(self, halt: Halt, outcome: StepOutcome) -> bool:
        """Say how it went; ask after a failure."""
        async with self._turn:
            self._last = halt, outcome
            self._show_outcome(halt, outcome)
            again = False
            if outcome.verdict in ("failed", "error") and not self._over and not _only_holds(outcome):
                before, self._running = self._running, False
                again = await self._ask(halt, failed=True) == "retry"
                self._running = before if again else self._running
            if not again:
                self._stack.pop(halt.path, None)
            return again

    @property
    def _over(self) -> bool:
        """Whether the run is being stopped: nothing is asked any more."""
        return self.run is not None and self.run.halted is not None

    async def _ask(self, halt: Halt, *, failed: bool) -> str:
        """Commands until one goes on: `next`, `skip` or `retry`."""
        while True:
            line = await self._commands.line(f"{'failed ' if failed else ''}{halt.path}> ")
            word, _, rest = (line.strip() or self._command if line is not None else "quit").partition(" ")
            if word in ("q", "quit"):
                if self.run is not None:
                    self.run.stop()
                return "next"
            if word in ("r", "retry") and failed:
                return "retry"
            if word in _GO_ON and not (failed and _GO_ON[word] == "skip"):
                self._command = word
                self._running = _GO_ON[word] == "continue"
                return "next" if _GO_ON[word] == "continue" else _GO_ON[word]
            self._look(word, rest.strip(), halt, failed)

    def _look(self, word: str, rest: str, halt: Halt, failed: bool) -> None:
        """What only shows something."""
        if word in ("p", "e", "print"):
            self._evaluate(halt, rest)
        elif word == "vars":
            names = halt.runner.look()
            self._say(_value({name: value for name, value in names.items() if name not in os.environ or name in _given(halt)}))
        elif word == "out":
            self._show_result()
        elif word in ("bt", "where"):
            self._show_stack(halt)
        elif word in ("b", "break"):
            self._break(rest, halt)
        elif word in ("l", "list"):
            self._show_source(halt)
        elif word in ("h", "help", "?"):
            self._say(HELP)
        elif word in ("r", "retry"):
            self._say("only a step that has failed is run again")
        elif word in ("s", "skip"):
            self._say("it has run; n goes on, r runs it again")
        else:
            self._say(f"there is no command {word!r}; h shows all")

    def _break(self, wanted: str, halt: Halt) -> None:
        try:
            found = at_steps(halt.definition, {wanted} if wanted else ())
            file = f"{halt.definition.file}:" if halt.depth else ""  # a bare line is one of the flow that was begun
            self._breakpoints |= {f"{file}{one}" if one.isdecimal() else one for one in found}
        except NotFound as missing:
            self._say(f"{missing.message}{f' ({missing.remedy})' if missing.remedy else ''}")
        self._say(f"stops at: {', '.join(sorted(self._breakpoints)) or 'every step (n), or failures alone (c)'}")

    def _show_source(self, halt: Halt) -> None:
        """The lines of the step, as they are written."""
        first, last = lines_of(halt.definition, halt.definition.position(halt.step.path).line)
        lines = halt.definition.source.splitlines()[first - 1 : min(last, first - 1 + _VALUE_LINES)]
        width, _ = size_of(sys.stdout)
        for number, line in enumerate(lines, first):
            self._say(cut(f"{number:>5} | {line}", max(width, 40)))

    def _evaluate(self, halt: Halt, text: str) -> None:
        if not text:
            self._say("give an expression: p status == 200")
            return
        try:
            self._say(_value(halt.runner.look(text)))
        except ExpressionError as error:
            self._say(f"{error.message}{f' ({error.hint})' if error.hint else ''}")

    def _show_step(self, halt: Halt) -> None:
        at = halt.definition.position(halt.step.path)
        phase = "" if halt.phase == "steps" else f"{halt.phase}: "
        place = f"{halt.definition.file}:{at.line}"
        path = self._paint(printable(halt.path), "1")
        say(f"\n{self._paint(printable(place), '2')}  {phase}{path}  [{printable(halt.step.action)}]", sys.stdout)
        if halt.step.name:
            self._say(f"  {halt.runner.title()}")
        if halt.step.when:
            self._say(f"  when: {halt.step.when}")
        try:
            self._show_config(halt.runner.preview())
        except ExpressionError as error:
            excerpt = Source(halt.definition.source, halt.definition.file).excerpt(at)
            self._say(f"  its config cannot be resolved: {error.message}\n{excerpt or ''}")

    def _show_config(self, config: Mapping[str, Any]) -> None:
        width, _ = size_of(sys.stdout)
        for key, value in config.items():
            if key not in ("steps", "else", "then", "branches"):
                text = one_line(value) if isinstance(value, str) else one_line(_json(value))
                self._say(cut(f"  {key}: {text}", max(width, 40)))

    def _show_outcome(self, halt: Halt, outcome: StepOutcome) -> None:
        depth = "  " * halt.path.count("/")
        reason = f"  ({outcome.reason})" if outcome.reason else ""
        said = printable(f"{halt.path}  {outcome.duration_ms:.0f} ms{reason}")
        say(f"{depth}{self._paint.verdict(outcome.verdict)}  {said}", sys.stdout)
        if outcome.verdict in ("failed", "error", "tolerated") and not _only_holds(outcome):
            self._say(_failure(halt, outcome))
        else:
            for line in halt.runner.logs:
                self._say(f"{depth}  [{line['level']}] {line['message']}")

    def _show_result(self) -> None:
        if self._last is None:
            self._say("no step has run yet")
            return
        halt, outcome = self._last
        found = {"verdict": outcome.verdict, "result": outcome.result, "outputs": outcome.outputs}
        self._say(f"{halt.path} = {_value({name: value for name, value in found.items() if value})}")

    def _show_stack(self, halt: Halt) -> None:
        outside = [at for path, at in self._stack.items() if halt.path.startswith((f"{path}/", f"{path}[", f"{path}~"))]
        for at in [*sorted(outside, key=lambda one: len(one.path)), halt]:
            line = at.definition.position(at.step.path).line
            self._say(f"{at.definition.file}:{line}  {at.definition.name}: {at.path}  [{at.step.action}]")

    def _is_breakpoint(self, halt: Halt) -> bool:
        line = str(halt.definition.position(halt.step.path).line)
        named = {halt.step.id, halt.path, f"{halt.definition.file}:{line}"}
        return not self._breakpoints.isdisjoint(named if halt.depth else named | {line})

    def _say(self, text: str) -> None:
        say(printable(text), sys.stdout)


def _given(halt: Halt) -> Collection[str]:
    """Names that are variables of the flow, even where the process environment has them too."""
    return {*halt.definition.env, *halt.definition.inputs}


def _only_holds(outcome: StepOutcome) -> bool:
    """Whether it failed only because a step inside it did, which was shown."""
    return outcome.error is not None and outcome.error.kind == "nested"


def _failure(halt: Halt, outcome: StepOutcome) -> str:
    """As a run shows it at its end."""
    definition, step = halt.definition, halt.step
    execution = Execution("", definition.name, definition.file)
    shown = Step(halt.path, halt.phase, 0, halt.runner.title(), step.action, 1, outcome.verdict, outcome=as_record(outcome))
    shown.logs = list(halt.runner.logs)
    return failure_text(execution, shown, {definition.file: definition.source})


def _value(value: Any) -> str:
    lines = _json(value, orjson.OPT_INDENT_2).splitlines()
    more = [f"... {len(lines) - _VALUE_LINES} more lines"] if len(lines) > _VALUE_LINES else []
    return "\n".join([*lines[:_VALUE_LINES], *more])


def _json(value: Any, option: int = 0) -> str:
    return orjson.dumps(value, default=str, option=option | orjson.OPT_NON_STR_KEYS).decode()
