"""Markdown for pull requests and step summaries: counts, a table of what did not pass, and failures in full, bounded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from interfaces.cli.reports.failure import failure_text
from interfaces.cli.reports.model import PASSED, Collected, Execution
from interfaces.cli.terminal import one_line, printable

FLOWS_SHOWN = 20
SKIPPED_SHOWN = 20
FAILURE_SHOWN = 3_000
"""Characters of one failure."""
REPORT_BYTES = 60_000
"""A comment on GitHub may have 65,536 characters."""


def markdown(executions: Collected, sources: Mapping[str, str]) -> Iterator[bytes]:
    """The summary; what is left out is counted at its end. Everything from outside stands as code, in which neither
    markup nor mentions are seen."""
    left, out, shown = REPORT_BYTES, 0, 0
    for part in _head(executions):
        left -= len(part)
        yield part
    for execution in executions.bad():
        part = _failure(execution, sources).encode("utf-8", "replace")
        if shown >= FLOWS_SHOWN or len(part) > left:
            out += 1
            continue
        left, shown = left - len(part), shown + 1
        yield part
    if out:
        yield f"\n{out} more that did not pass are left out here; the other reports have them.\n".encode()


def _head(executions: Collected) -> Iterator[bytes]:
    counts = Counter(verdict or "unfinished" for _, verdict, _, _ in executions.ends())
    bad = any(verdict not in PASSED for verdict in counts)
    said = ", ".join(f"{number} {verdict.replace('_', ' ')}" for verdict, number in counts.items()) or "nothing was run"
    seconds = (executions.ended - executions.begun).total_seconds() if executions.begun and executions.ended else 0.0
    total = len(executions)
    title = "TestMesh: failed" if bad else "TestMesh: passed" if counts else "TestMesh: nothing was run"
    yield f"## {title}\n\n{total} flow{'' if total == 1 else 's'}: {said} in {seconds:.2f} s\n".encode()
    if executions.repeated:
        yield f"\n{len(executions.repeated)} executions were repeated and do not count.\n".encode()
    for name, why in executions.skipped[:SKIPPED_SHOWN]:
        yield f"- skipped {code(one_line(name))}: {code(one_line(why))}\n".encode("utf-8", "replace")
    if len(executions.skipped) > SKIPPED_SHOWN:
        yield f"- and {len(executions.skipped) - SKIPPED_SHOWN} more skipped\n".encode()


def _failure(execution: Execution, sources: Mapping[str, str]) -> str:
    verdict = (execution.verdict or "unfinished").replace("_", " ")
    head = f"\n### {verdict}: {code(one_line(execution.title)[:200])}\n\n{code(one_line(execution.file)[:500])}"
    texts = [failure_text(execution, step, sources) for step in execution.failures[:5]]
    if execution.message and (not texts or execution.cause):
        texts.append(f"{execution.cause or execution.verdict}: {execution.message}")
    text = "\n\n".join(texts)
    if len(text) > FAILURE_SHOWN:
        text = f"{text[:FAILURE_SHOWN]}\n... ({len(text)} characters)"
    return f"{head}, seed {code(one_line(execution.seed))}\n\n{fenced(printable(text))}\n"


def code(text: str) -> str:
    """A code span, fenced by more backticks than the text has in a row (CommonMark 6.1)."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {text} {ticks}" if text.strip() else f"{ticks} - {ticks}"


def fenced(text: str) -> str:
    """A fenced block that nothing in the text can end (CommonMark 4.5)."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
