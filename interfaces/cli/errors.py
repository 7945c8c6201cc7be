"""Exit codes, and how a refusal is shown on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import IntEnum

from interfaces.cli.terminal import printable


class ExitCode(IntEnum):
    """What the process says at its end. Of several, the one that stands first in PRECEDENCE wins."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    ERROR = 3
    NOTHING = 4
    GATE = 5
    TIME_LIMIT = 124
    INTERRUPTED = 130


PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.TIME_LIMIT,
    ExitCode.USAGE,
    ExitCode.ERROR,
    ExitCode.FAILED,
    ExitCode.NOTHING,
    ExitCode.GATE,
    ExitCode.PASSED,
)
_KINDS = {"unavailable": ExitCode.ERROR}
_VERDICTS = {
    "passed": ExitCode.PASSED,
    "passed_on_retry": ExitCode.PASSED,
    "failed": ExitCode.FAILED,
    "error": ExitCode.ERROR,
    "timed_out": ExitCode.ERROR,
    "cancelled": ExitCode.ERROR,
}


def of_verdicts(verdicts: Iterable[str]) -> ExitCode:
    """The exit code of a run with these verdicts; NOTHING when there are none."""
    codes = {_VERDICTS[verdict] for verdict in verdicts}
    return worst(codes) if codes else ExitCode.NOTHING


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that wins."""
    return min(codes, key=PRECEDENCE.index)


def fail(error: Exception) -> int:
    """Show an error on stderr; the exit code that it means. What is not a refusal is a bug, with its trace."""
    from domain.errors import InvalidFlow, Refusal

    if isinstance(error, InvalidFlow):
        print(printable(error.message), file=sys.stderr)
        return ExitCode.USAGE
    if isinstance(error, Refusal):
        print(printable(f"error: {error.message}"), file=sys.stderr)
        if error.remedy:
            print(printable(f"  = {error.remedy}"), file=sys.stderr)
        if error.kind == "not_found" and error.code == "nothing_selected":
            return ExitCode.NOTHING
        return _KINDS.get(error.kind, ExitCode.USAGE)
    import traceback

    traceback.print_exception(error)
    print("error: this is a bug of TestMesh; please report it with the lines above", file=sys.stderr)
    return ExitCode.ERROR
