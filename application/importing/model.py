"""What every reader makes: requests that are to be steps, gathered in drafts of flows, with notes on what was left behind.

Texts are literal unless they are a Template.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import Any, Literal

from domain.limits import LIMITS
from domain.values import dataclass

BodyKind = Literal["body", "body_file", "json", "form", "multipart", "graphql"]


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries, under the key of `http_request` that says how it is sent."""

    kind: BodyKind
    value: Any


@dataclass(frozen=True, slots=True)
class Check:
    """An assertion: an expression, and what to say when it does not hold."""

    expression: str
    message: str = ""


@dataclass(slots=True)
class Call:
    """A request to be a step. `options` are further keys of the action, as they are written there."""

    method: str
    url: str
    name: str = ""
    id: str = ""
    description: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    params: list[tuple[str, str]] = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)
    body: Body | None = None
    auth: dict[str, str] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    asserts: list[str | Check] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    secret_outputs: list[str] = field(default_factory=list)
    disabled: bool = False
    comments: list[str] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The first header of a name in any case."""
        return next((value for given, value in self.headers if given.lower() == name), None)

    def without_header(self, *names: str) -> None:
        """Leave headers out."""
        self.headers = [pair for pair in self.headers if pair[0].lower() not in names]


@dataclass(slots=True)
class Draft:
    """A flow to be written. `file` is what its file is called after, `folder` the slugs of the folders above; `given` says what
    variables must come from outside, by name."""

    name: str
    calls: list[Call] = field(default_factory=list)
    file: str = ""
    folder: tuple[str, ...] = ()
    description: str = ""
    tags: list[str] = field(default_factory=list)
    env: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Imported:
    """All drafts of an import; `left_out` counts what was not translated, by what it is."""

    drafts: list[Draft] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Tell something once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def limit_calls(self) -> None:
        """Keep in each draft what one flow may hold."""
        for draft in self.drafts:
            over = len(draft.calls) - LIMITS.steps
            if over > 0:
                del draft.calls[LIMITS.steps :]
                self.left_out[f"requests beyond the {LIMITS.steps} that one flow holds"] += over
