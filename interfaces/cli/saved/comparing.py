"""`testmesh diff`: two saved runs compared: flows, verdicts, steps, values, durations."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from domain.values import dataclass
from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import counted, one_line, patient

if TYPE_CHECKING:
    from interfaces.cli.reports.model import Collected, Execution, Step

VALUES_SHOWN = 20
"""Differences of values that are shown of one step."""
SLOWER_BY, SLOWER_MS = 1.5, 100.0
"""A duration has moved markedly when it is so many times, and so many milliseconds, away."""
_TIMES = ("time", "timings", "duration", "duration_ms", "elapsed", "elapsed_ms")
_DATES = ("date", "age", "expires", "last-modified", "set-cookie", "x-request-id", "traceparent", "server-timing")
_PORT = re.compile(r"\b(127\.0\.0\.1|localhost):(?:3[2-9]\d{3}|[45]\d{4}|6[0-5]\d{3})\b")
"""A server of this machine on a port that the system chose: a mock server, the demo shop."""
_TOKEN = re.compile(r"\[secret:[0-9a-f]{6}\]")
_SAME_AS_BODY = ("text", "size", "sha256")
"""Fields of an HTTP result that say again what its body says."""
Key = tuple[str, str, str]


@click.command()
@click.argument("old", type=click.Path(dir_okay=False))
@click.argument("new", type=click.Path(dir_okay=False))
@click.option("--verdicts", is_flag=True, help="Compare flows and verdicts alone, not what steps gave.")
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Paths of values to leave out, such as '*.id'; repeatable.")
def diff(old: str, new: str, verdicts: bool, ignore: tuple[str, ...]) -> int:
    """Compare two saved runs (see run --save). 1 when they differ; durations alone are no difference."""
    from pathlib import Path

    from interfaces.cli.reports.github import in_actions, without_commands
    from interfaces.cli.saved.saved_run_reading import read_run

    before, after = (read_run(Path(file)).executions for file in (old, new))
    comparison = _Comparison(before, after, values=not verdicts, ignore=ignore)
    with patient(sys.stdout), without_commands(in_actions()):
        for line in comparison.lines():
            print(one_line(line))
        print(f"{counted(comparison.compared, 'flow')} compared, {counted(comparison.differing, 'difference')}")
    return ExitCode.FAILED if comparison.differing else ExitCode.PASSED


@dataclass(slots=True)
class _Comparison:
    before: Collected
    after: Collected
    values: bool
    ignore: Sequence[str]
    compared: int = 0
    differing: int = 0

    def lines(self) -> Iterator[str]:
        """What differs, flow by flow; `differing` counts on."""
        old, new = _places(self.before), _places(self.after)
        for key in old:
            if key not in new:
                yield from self._counted(f"- {_title(key)}: not in the new run")
        for key, id in new.items():
            if key not in old:
                yield from self._counted(f"+ {_title(key)}: only in the new run")
                continue
            one, other = self.before.find(old[key]), self.after.find(id)
            if one is not None and other is not None:
                self.compared += 1
                yield from self._flow(one, other)

    def _counted(self, line: str) -> Iterator[str]:
        self.differing += 1
        yield line

    def _flow(self, one: Execution, other: Execution) -> Iterator[str]:
        title = f"{other.title}  {other.file}"
        if one.verdict != other.verdict:
            yield from self._counted(f"~ {title}: {one.verdict} -> {other.verdict}")
        yield from _moved(title, one.seconds * 1000, other.seconds * 1000)
        olds, news = ({step.path: step for step in side.last_steps} for side in (one, other))
        for path, step in olds.items():
            if path not in news:
                yield from self._counted(f"- {title} > {step.where}: the step was not begun in the new run")
        for path, step in news.items():
            if path not in olds:
                yield from self._counted(f"+ {title} > {step.where}: the step was begun only in the new run")
            else:
                yield from self._step(f"{title} > {step.where}", olds[path], step)
        if self.values:
            yield from self._values(title, "outputs", one.outputs, other.outputs)

    def _step(self, where: str, one: Step, other: Step) -> Iterator[str]:
        if one.verdict != other.verdict:
            yield from self._counted(f"~ {where}: {one.verdict} -> {other.verdict}")
        yield from _moved(where, one.duration_ms, other.duration_ms)
        if self.values:
            for name in ("outputs", "result"):
                yield from self._values(where, name, _telling(one.outcome.get(name)), _telling(other.outcome.get(name)))

    def _values(self, where: str, name: str, old: Any, new: Any) -> Iterator[str]:
        from fnmatch import fnmatchcase

        from interfaces.cli.reports.difference import differences, shown

        found = [
            difference
            for difference in differences(_steady(old), _steady(new), name)
            if not _is_volatile(difference.path) and not any(fnmatchcase(difference.path, text) for text in self.ignore)
        ]
        for difference in found[:VALUES_SHOWN]:
            yield from self._counted(f"~ {where}: {difference.path}: {shown(difference.old)} -> {shown(difference.new)}")
        if len(found) > VALUES_SHOWN:
            self.differing += len(found) - VALUES_SHOWN
            yield f"~ {where}: {len(found) - VALUES_SHOWN} more values of {name} differ"


def _steady(value: Any) -> Any:
    """The value with all masked secrets alike, whose tokens are other ones in every run, and all chosen ports."""
    if isinstance(value, str):
        return _PORT.sub(r"\1:PORT", _TOKEN.sub("[secret]", value))
    if isinstance(value, dict):
        return {_steady(key): _steady(item) for key, item in value.items()}
    return [_steady(item) for item in value] if isinstance(value, list) else value


def _telling(result: Any) -> Any:
    """A result without what its body says already."""
    if not isinstance(result, dict) or result.get("body") is None:
        return result
    return {name: value for name, value in result.items() if name not in _SAME_AS_BODY}


def _places(executions: Collected) -> dict[Key, str]:
    """The id of each execution that counts, by file, row and name; of several alike, the last."""
    found: dict[Key, str] = {}
    for id, _, file, case in executions.ends():
        execution = executions.find(id)
        if execution is not None:
            found[file, case, execution.name] = id
    return found


def _title(key: Key) -> str:
    file, case, name = key
    return f"{name} [{case}]  {file}" if case else f"{name}  {file}"


def _moved(where: str, old: float, new: float) -> Iterator[str]:
    low, high = sorted((old, new))
    if high - low >= SLOWER_MS and high >= low * SLOWER_BY:
        yield f"  {where}: {'slower' if new > old else 'faster'}, {old:.0f} ms -> {new:.0f} ms"


def _is_volatile(path: str) -> bool:
    """Whether the value differs in every run by its nature: times that steps took, headers that date an answer."""
    words = path.split(".")
    if words[0] == "result" and len(words) > 1 and words[1] in _TIMES:
        return True
    return words[:2] == ["result", "headers"] and len(words) > 2 and words[2].lower() in _DATES
