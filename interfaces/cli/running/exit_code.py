"""The exit code of a run: by the verdicts, and by what ended it early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interfaces.cli.errors import ExitCode, of_verdicts, worst

if TYPE_CHECKING:
    from interfaces.cli.reports.model import Collected

_HALTS = {"interrupted": ExitCode.INTERRUPTED, "time_limit": ExitCode.TIME_LIMIT}


def exit_code(executions: Collected, halted: str | None, suite: str | None, options: Mapping[str, Any]) -> ExitCode:
    """By the verdicts of executions, and of the suite run where there is one."""
    verdicts = [verdict or "error" for _, verdict, _, _ in executions.ends()]
    if options["fail_on_flaky"]:
        verdicts = ["failed" if verdict == "passed_on_retry" else verdict for verdict in verdicts]
    if halted == "fail_fast":
        verdicts = [verdict for verdict in verdicts if verdict != "cancelled"]  # by us: that is no error
    codes = [of_verdicts(verdicts)] if verdicts or suite is None else []
    if suite is not None:
        codes.append(of_verdicts([suite]))
    if halted in _HALTS:
        codes.append(_HALTS[halted])
    return worst(codes)
