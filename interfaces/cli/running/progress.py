"""The live view of a run on stderr: a tree on a terminal, one line a finished flow elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import Literal, TextIO

from interfaces.cli.reports.model import Execution, Step
from interfaces.cli.terminal import Paint, cut, one_line, say, size_of

Style = Literal["auto", "tree", "plain", "none"]
REDRAW_SECONDS = 0.1
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def live_view(style: Style, total: int, *, colour: bool | None = None, quiet: bool = False) -> View:
    """The view that fits where stderr goes."""
    stream = sys.stderr
    if quiet or style == "none":
        return View()
    if style == "auto":
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
        style = "tree" if terminal else "plain"
    paint = Paint(stream, colour)
    return Tree(stream, paint, total) if style == "tree" else Plain(stream, paint, total)


class View:
    """Shows nothing."""

    total = 0
    """How many executions there will be."""

    def changed(self, execution: Execution) -> None:
        """An event of the execution came."""

    def note(self, text: str) -> None:
        """Something about the run itself happened."""

    def tick(self) -> None:
        """Time has passed."""

    def close(self) -> None:
        """The run is over."""


class Plain(View):
    """One line a finished flow; no cursor control."""

    def __init__(self, stream: TextIO, paint: Paint, total: int) -> None:
        self._stream = stream
        self._paint = paint
        self.total = total
        self._shown: set[str] = set()

    def changed(self, execution: Execution) -> None:
        """Show it when it has ended."""
        if execution.verdict is None or execution.id in self._shown:
            return
        self._shown.add(execution.id)
        say(f"[{len(self._shown)}/{self.total}] {finished_line(execution, self._paint)}", self._stream)

    def note(self, text: str) -> None:
        """A line of its own."""
        say(one_line(text), self._stream)


class Tree(View):
    """Flows under way with their steps; finished ones collapse to a line. Redrawn at most ten times a second."""

    def __init__(self, stream: TextIO, paint: Paint, total: int) -> None:
        self._stream = stream
        self._paint = paint
        self.total = total
        self._live: dict[str, Execution] = {}
        self._done: set[str] = set()
        self._height = 0
        self._drawn = 0.0

    def changed(self, execution: Execution) -> None:
        """Take it into the picture."""
        if execution.verdict is None:
            self._live[execution.id] = execution
        elif execution.id not in self._done:
            self._live.pop(execution.id, None)
            self._done.add(execution.id)
            self._show(finished_line(execution, self._paint))
        self.tick()

    def note(self, text: str) -> None:
        """A line above the picture."""
        self._show(one_line(text))

    def tick(self) -> None:
        """Draw again when it is time."""
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._show()

    def close(self) -> None:
        """Leave only the finished lines."""
        say(self._erasure(), self._stream, end="")

    def _show(self, *finished: str) -> None:
        """One write a picture, so that it does not flicker."""
        self._drawn = time.monotonic()
        erasure, picture = self._erasure(), self._picture()
        self._height = len(picture)
        say(erasure + "\n".join([*finished, *picture]), self._stream)

    def _erasure(self) -> str:
        height, self._height = self._height, 0
        return f"\x1b[{height}F\x1b[0J" if height else ""

    def _picture(self) -> list[str]:
        width, height = size_of(self._stream)
        lines = [line for execution in self._live.values() for line in self._execution(execution)]
        lines = lines[: max(1, height - 3)]
        lines.append(self._paint(f"  {len(self._done)}/{self.total} finished", "2"))
        return [cut(line, width) for line in lines]

    def _execution(self, execution: Execution) -> list[str]:
        spin = _SPINNER[int(time.monotonic() * 10) % len(_SPINNER)]
        attempt = f", attempt {execution.attempt}" if execution.attempt > 1 else ""
        lines = [f"{spin} {one_line(execution.title)}  ({execution.seconds:.1f} s, {execution.status}{attempt})"]
        return lines + [self._step(step) for step in execution.last_steps[-4:]]

    def _step(self, step: Step) -> str:
        depth = "  " * (2 + step.path.count("/"))
        if step.verdict == "running":
            return f"{depth}… {one_line(step.name)}  [{step.action}]"
        return f"{depth}{self._paint.verdict(step.verdict)}  {one_line(step.name)}  {step.duration_ms:.0f} ms"


def finished_line(execution: Execution, paint: Paint) -> str:
    """One line that says how a flow ended."""
    notes = [f"{execution.seconds:.2f} s", "1 step" if len(execution.last_steps) == 1 else f"{len(execution.last_steps)} steps"]
    if execution.attempt > 1:
        notes.append(f"attempt {execution.attempt}")
    if execution.tolerated:
        notes.append(f"{execution.tolerated} tolerated")
    bad = execution.message and execution.verdict not in ("passed", "passed_on_retry")
    why = f"  {execution.message.splitlines()[0]}" if bad else ""
    place = f"  {execution.file}" if execution.file else ""
    said = one_line(f"{execution.title}{place}  ({', '.join(notes)}){why}")
    return f"{paint.verdict(str(execution.verdict))}  {said}"
