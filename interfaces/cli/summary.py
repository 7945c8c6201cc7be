"""The end of a run on stdout: failures in full, then counts, time and seed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from interfaces.cli.progress import Paint
from interfaces.cli.reports.failure import again_command, failure_text
from interfaces.cli.reports.model import Execution

_GOOD = ("passed", "passed_on_retry")


def show_results(
    executions: Sequence[Execution],
    sources: Mapping[str, str],
    total: int,
    *,
    verbose: bool = False,
    remote: bool = False,
    colour: bool | None = None,
) -> None:
    """Print them. `total` flows were selected, of which some may never have begun."""
    paint = Paint(sys.stdout, colour)
    if verbose:
        for execution in executions:
            _show_steps(execution, paint)
    for execution in executions:
        if execution.verdict not in _GOOD:
            _show_failure(execution, sources, paint, remote)
    counts = Counter(execution.verdict or "unfinished" for execution in executions)
    begun = len(executions)
    if total > begun:
        counts["not begun"] = total - begun
    words = [f"{number} {verdict.replace('_', ' ')}" for verdict, number in counts.items()]
    seconds = _wall(executions)
    print(f"{total} {'flow' if total == 1 else 'flows'}: {', '.join(words)} in {seconds:.2f} s")


def _show_steps(execution: Execution, paint: Paint) -> None:
    print(f"{paint.verdict(execution.verdict or 'error')}  {execution.name}  ({execution.seconds:.2f} s)")
    for step in execution.last_steps:
        depth = "  " * (1 + step.path.count("/"))
        print(f"{depth}{paint.verdict(step.verdict)}  {step.phase}: {step.name}  [{step.action}]  {step.duration_ms:.0f} ms")
        for line in step.logs:
            print(f"{depth}    [{line['level']}] {line['message']}")


def _show_failure(execution: Execution, sources: Mapping[str, str], paint: Paint, remote: bool) -> None:
    print(paint(f"━━ {execution.verdict or 'unfinished'}: {execution.name}  {execution.file}", "1;31"))
    shown = False
    for step in execution.last_steps:
        if step.bad:
            print(failure_text(execution, step, sources.get(execution.file, "")))
            shown = True
    if execution.message and (not shown or execution.cause):
        print(f"  {execution.cause or execution.verdict}: {execution.message}")
    print(f"  execution {execution.id}, seed {execution.seed}")
    print(f"  run it again: {again_command(execution, remote=remote)}")
    print()


def _wall(executions: Sequence[Execution]) -> float:
    begun = [execution.requested_at for execution in executions if execution.requested_at]
    ended = [execution.finished_at for execution in executions if execution.finished_at]
    return (max(ended) - min(begun)).total_seconds() if begun and ended else 0.0
