"""The live view of a run on stderr: a tree on a terminal, one line a finished flow elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Literal, TextIO

from interfaces.cli.reports.model import Execution, Step

Style = Literal["auto", "tree", "plain", "none"]
REDRAW_SECONDS = 0.1
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SYMBOLS = {
    "passed": ("✓", "32"),
    "passed_on_retry": ("✓", "33"),
    "tolerated": ("!", "33"),
    "skipped": ("-", "2"),
    "failed": ("✗", "31"),
    "error": ("✗", "31"),
    "timed_out": ("✗", "31"),
    "cancelled": ("✗", "33"),
    "lost": ("✗", "33"),
    "queued": ("·", "2"),
}


class Paint:
    """Colours where they are wanted; words and symbols say the same without."""

    def __init__(self, stream: TextIO, wanted: bool | None = None) -> None:
        self.on = colour_wanted(stream) if wanted is None else wanted

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on else text

    def verdict(self, verdict: str) -> str:
        """Symbol and word."""
        symbol, code = _SYMBOLS.get(verdict, ("?", "0"))
        return self(f"{symbol} {verdict.replace('_', ' ')}", code)


def colour_wanted(stream: TextIO) -> bool:
    """NO_COLOR, FORCE_COLOR, TERM=dumb and the kind of stream, in that order (no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


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

    def changed(self, execution: Execution) -> None:
        """An event of the execution came."""

    def tick(self) -> None:
        """Time has passed."""

    def close(self) -> None:
        """The run is over."""


class Plain(View):
    """One line a finished flow; no cursor control."""

    def __init__(self, stream: TextIO, paint: Paint, total: int) -> None:
        self._stream = stream
        self._paint = paint
        self._total = total
        self._shown: set[str] = set()

    def changed(self, execution: Execution) -> None:
        """Show it when it has ended."""
        if execution.verdict is None or execution.id in self._shown:
            return
        self._shown.add(execution.id)
        print(f"[{len(self._shown)}/{self._total}] {finished_line(execution, self._paint)}", file=self._stream, flush=True)


class Tree(View):
    """Flows under way with their steps; finished ones collapse to a line. Redrawn at most ten times a second."""

    def __init__(self, stream: TextIO, paint: Paint, total: int) -> None:
        self._stream = stream
        self._paint = paint
        self._total = total
        self._live: dict[str, Execution] = {}
        self._done: list[str] = []
        self._ended = 0
        self._height = 0
        self._drawn = 0.0

    def changed(self, execution: Execution) -> None:
        """Take it into the picture."""
        if execution.verdict is None:
            self._live[execution.id] = execution
        elif self._live.pop(execution.id, None) is not None or execution.id not in self._done:
            self._ended += 1
            self._done.append(execution.id)
            self._erase()
            print(finished_line(execution, self._paint), file=self._stream)
            self._draw()
        self.tick()

    def tick(self) -> None:
        """Draw again when it is time."""
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._erase()
            self._draw()

    def close(self) -> None:
        """Leave only the finished lines."""
        self._erase()
        self._stream.flush()

    def _erase(self) -> None:
        if self._height:
            self._stream.write(f"\x1b[{self._height}F\x1b[0J")
        self._height = 0

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        width, height = shutil.get_terminal_size()
        lines = [line for execution in self._live.values() for line in self._execution(execution)]
        lines = lines[: max(1, height - 3)]
        lines.append(self._paint(f"  {self._ended}/{self._total} finished", "2"))
        for line in lines:
            self._stream.write(_cut(line, width) + "\n")
        self._height = len(lines)
        self._stream.flush()

    def _execution(self, execution: Execution) -> list[str]:
        spin = _SPINNER[int(time.monotonic() * 10) % len(_SPINNER)]
        attempt = f", attempt {execution.attempt}" if execution.attempt > 1 else ""
        lines = [f"{spin} {execution.name}  ({execution.seconds:.1f} s, {execution.status}{attempt})"]
        return lines + [self._step(step) for step in execution.last_steps[-4:]]

    def _step(self, step: Step) -> str:
        depth = "  " * (2 + step.path.count("/"))
        if step.verdict == "running":
            return f"{depth}… {step.name}  [{step.action}]"
        return f"{depth}{self._paint.verdict(step.verdict)}  {step.name}  {step.duration_ms:.0f} ms"


def finished_line(execution: Execution, paint: Paint) -> str:
    """One line that says how a flow ended."""
    notes = [f"{execution.seconds:.2f} s", f"{len(execution.last_steps)} steps"]
    if execution.attempt > 1:
        notes.append(f"attempt {execution.attempt}")
    if execution.tolerated:
        notes.append(f"{execution.tolerated} tolerated")
    why = f"  {execution.message}" if execution.message and execution.verdict not in ("passed", "passed_on_retry") else ""
    place = f"  {execution.file}" if execution.file else ""
    return f"{paint.verdict(str(execution.verdict))}  {execution.name}{place}  ({', '.join(notes)}){why}"


def _cut(line: str, width: int) -> str:
    """The line within the terminal's width, colours not counted."""
    if "\x1b" in line or len(line) < width:
        return line
    return line[: width - 1] + "…"
