"""GitHub Actions: failures as workflow commands, which become annotations at file and line, and the step summary."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from interfaces.cli.reports.model import Collected, Execution, Step
from interfaces.cli.terminal import printable

MOST = 50
"""Annotations of one report; GitHub itself shows ten of a step."""
MESSAGE_SHOWN = 1_000


def github(executions: Collected, sources: Mapping[str, str]) -> Iterator[bytes]:
    """Workflow commands, `error` for what failed and `warning` for what was tolerated."""
    said = 0
    for execution in executions.bad():
        for part in _annotations(execution):
            if said < MOST:
                yield part
            said += 1
    if said > MOST:
        yield command("notice", f"{said - MOST} more failures are not annotated", {})


def _annotations(execution: Execution) -> Iterator[bytes]:
    from interfaces.cli.reports.failure import summary

    failures = execution.failures
    for step in failures:
        yield command("warning" if step.verdict == "tolerated" else "error", summary(step), _place(execution, step))
    if not failures:
        message = execution.message or str(execution.verdict or "unfinished")
        yield command("error", message, {"file": execution.file, "title": execution.title})


def _place(execution: Execution, step: Step) -> dict[str, str]:
    at = step.error or next(iter(step.failed_assertions), {})
    found = {"file": step.outcome.get("file") or execution.file}
    if at.get("line"):
        found |= {"line": str(at["line"]), "col": str(at["column"])}
    return {**found, "title": f"{execution.title} > {step.where}"}


def command(name: str, message: str, properties: Mapping[str, str]) -> bytes:
    """One workflow command. Source of the escapes: actions/toolkit, packages/core/src/command.ts."""
    told = ",".join(f"{key}={_property(printable(value)[:200])}" for key, value in properties.items() if value)
    text = _data(printable(message)[:MESSAGE_SHOWN])
    return f"::{name}{' ' + told if told else ''}::{text}\n".encode("utf-8", "replace")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def in_actions() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def add_summary(executions: Collected, sources: Mapping[str, str]) -> None:
    """The markdown report into the step's summary; a file that cannot be written is no reason to fail."""
    from interfaces.cli.reports.markdown import markdown

    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        with suppress(OSError), Path(place).open("ab") as file:
            file.writelines(markdown(executions, sources))


@contextmanager
def without_commands(wanted: bool) -> Iterator[None]:
    """Within it the runner obeys no workflow command in stdout: what servers and flows say may look like one."""
    if not wanted:
        yield
        return
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        print(f"::{token}::")
        sys.stdout.flush()
