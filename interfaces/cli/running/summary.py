"""The end of a run on stdout: failures in full, then counts, time and seed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from interfaces.cli.reports.failure import Line, as_curl, exchange_lines, failure_lines
from interfaces.cli.reports.model import Collected, Execution
from interfaces.cli.running.again import again_command
from interfaces.cli.terminal import Paint, counted, one_line, printable

_STYLES = {"title": "1", "place": "36", "caret": "31", "bad": "31", "good": "32", "quiet": "2", "hint": "36"}


def show_results(
    executions: Collected,
    sources: Mapping[str, str],
    total: int,
    *,
    skipped: Sequence[tuple[str, str]] = (),
    verbose: bool = False,
    again: Sequence[str] = (),
    under_way: bool = False,
    colour: bool | None = None,
    responses: Literal["always", "failed", "never"] = "failed",
    curl: bool = False,
    ended_by: str | None = None,
) -> None:
    """Print them. `total` executions were planned, of which some may never have begun: `skipped` says flows and why; `again`
    are the options that the command to run one again repeats. With `under_way`, one without a verdict is still running.
    `responses` says of which steps the exchange is shown, `curl` shows every HTTP request as a curl command; `ended_by` says
    what ended the run before its end."""
    paint = Paint(sys.stdout, colour)
    always = responses == "always"
    if verbose or always or curl:
        for execution in executions:
            _show_steps(execution, paint, all=verbose, exchange=always, curl=curl)
    for execution in executions.bad():
        if not (under_way and execution.verdict is None):
            _show_failure(execution, sources, paint, again, exchange=responses == "failed")
    for name, why in skipped:
        print(printable(f"{paint.verdict('skipped')}  {one_line(name)}: {why}"))
    counts = ", ".join(_counts(executions, total, under_way))
    early = f"; ended early: {ended_by}" if ended_by else ""
    print(f"{counted(total, 'flow')}: {counts} in {_wall(executions):.2f} s{early}")


def _counts(executions: Collected, total: int, under_way: bool) -> list[str]:
    counts = Counter(verdict or ("under way" if under_way else "unfinished") for _, verdict, _, _ in executions.ends())
    if total > len(executions):
        counts["not begun"] = total - len(executions)
    return [f"{number} {verdict.replace('_', ' ')}" for verdict, number in counts.items()]


def _show_steps(execution: Execution, paint: Paint, *, all: bool, exchange: bool, curl: bool) -> None:
    """An execution's steps, or only those that have an exchange."""
    print(f"{paint.verdict(execution.verdict or execution.status)}  {one_line(execution.title)}  ({execution.seconds:.2f} s)")
    for step in execution.last_steps:
        made = step.outcome.get("exchange")
        if not all and not made:
            continue
        depth = "  " * (1 + step.path.count("/"))
        took = "" if step.verdict == "running" else f"  {step.duration_ms:.0f} ms"
        if step.verdict == "skipped":
            took = f"  {one_line(str(step.outcome.get('reason') or ''))}".rstrip()
        said = f"{step.phase}: {one_line(step.name)}  [{step.action}]{took}"
        print(f"{depth}{paint.verdict(step.verdict)}  {said}")
        for line in step.logs if all else ():
            print(f"{depth}    [{line['level']}] {one_line(line['message'])}")
        if exchange:
            for shown in exchange_lines(made, curl=False, whole=True):
                _print_line(shown, paint, depth)
        if curl and made and "url" in (made.get("request") or {}):
            print(printable(f"{depth}  {as_curl(made['request'])}"))


def _show_failure(
    execution: Execution, sources: Mapping[str, str], paint: Paint, again: Sequence[str], *, exchange: bool
) -> None:
    verdict = (execution.verdict or "unfinished").replace("_", " ")
    heading = one_line(f"━━ {verdict}: {execution.title}  {execution.file}")
    print(paint(heading, "1;31"))
    shown = False
    for step in execution.failures:
        for line in failure_lines(execution, step, sources, exchange=exchange):
            _print_line(line, paint)
        shown = True
    if execution.message and (not shown or execution.cause or execution.verdict == "cancelled"):
        print(printable(f"  {execution.cause or execution.verdict}: {execution.message}"))
    print(f"  execution {execution.id}, seed {execution.seed}")
    print(printable(f"  run it again: {again_command(execution, again)}"))
    print()


def _print_line(line: Line, paint: Paint, depth: str = "") -> None:
    text = printable(depth + line.text)
    print(paint(text, _STYLES[line.style]) if line.style else text)


def _wall(executions: Collected) -> float:
    begun, ended = executions.begun, executions.ended
    return (ended - begun).total_seconds() if begun and ended else 0.0
