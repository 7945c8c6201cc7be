"""Refusals: what the domain says when it will not do something, each of a kind that faces map to a status."""

from __future__ import annotations

from typing import Literal

from domain.values import dataclass

Kind = Literal["invalid", "not_found", "conflict", "forbidden", "unavailable", "too_large", "too_many"]


class Refusal(Exception):
    """A request that cannot be carried out. `code` is stable and machine-readable; the message says what to do."""

    kind: Kind = "invalid"
    code: str = "invalid"
    retry_after: int = 1
    """Seconds after which the same request may succeed, where that can be."""

    def __init__(self, message: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code


class Invalid(Refusal):
    """The input is wrong."""

    kind = "invalid"
    code = "invalid"


class NotFound(Refusal):
    """There is no such thing in this workspace."""

    kind = "not_found"
    code = "not_found"


class Conflict(Refusal):
    """The thing is in another state than the command needs."""

    kind = "conflict"
    code = "conflict"


class Forbidden(Refusal):
    """The caller may not do this."""

    kind = "forbidden"
    code = "forbidden"


class Unavailable(Refusal):
    """A server that is needed does not answer; the same request may succeed later."""

    kind = "unavailable"
    code = "unavailable"


class LimitExceeded(Refusal):
    """A size, depth or count is over its limit."""

    kind = "too_large"
    code = "limit"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a flow document: where (1-based), what, and what to do about it."""

    title: str
    file: str = "<flow>"
    line: int = 1
    column: int = 1
    remedy: str | None = None
    excerpt: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        lines = [f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.title}"]
        if self.excerpt:
            lines.append(self.excerpt)
        if self.remedy:
            lines.append(f"  = {self.remedy}")
        return "\n".join(lines)


class InvalidFlow(Invalid):
    """A flow document that cannot be used; carries every problem found, not just the first."""

    code = "invalid_flow"

    def __init__(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.warnings = warnings
        """What is doubtful besides, for those who look at the document."""
