"""The HTTP steps of a flow, one after another, as plain data with their texts resolved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from application.actions.http_url import query_pairs, value_text
from application.documents.scope import walk
from application.engine.action import ActionError
from application.exporting.templates import Resolver
from domain.definition import FlowDefinition, Step
from domain.errors import Invalid
from domain.values import dataclass

_NAMES = ("http_request", "http")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP step. `config` is its config with texts resolved; `headers` are pairs, the value None for one left out."""

    step: Step
    method: str
    url: str
    headers: tuple[tuple[str, str | None], ...]
    params: tuple[tuple[str, str], ...]
    config: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What people call the step."""
        return self.step.name or self.step.id

    def header(self, name: str) -> str | None:
        """The first header of a name in any case."""
        return next((value for given, value in self.headers if given.lower() == name), None)

    def has_header(self, name: str) -> bool:
        """Whether the step says anything about a header."""
        return any(given.lower() == name for given, _ in self.headers)


def http_steps(definition: FlowDefinition, line: int | None = None) -> tuple[list[Step], int]:
    """The HTTP steps in their order, and how many others there are. With a line, only the step that it lies in."""
    steps = [step for phase in (definition.setup, definition.steps, definition.teardown) for step in walk(phase)]
    if line is not None:
        before = [step for step in steps if definition.position(step.path).line <= line]
        steps = before[-1:]
        if not steps:
            raise Invalid(f"{definition.file}:{line}: there is no step in this line")
    found = [step for step in steps if step.action in _NAMES]
    return found, len(steps) - len(found)


def read_request(step: Step, resolver: Resolver) -> Request:
    """A step's request. Invalid where its config cannot be sent."""
    config = {str(name): resolver.value(value) for name, value in step.config.items()}
    try:
        params = [pair for name in ("params", "query") for pair in query_pairs(config.get(name))]
    except ActionError as error:
        raise Invalid(f"the step {step.id}: {error}") from None
    method = str(config.get("method") or "GET").upper()
    return Request(step, method, str(config.get("url") or ""), tuple(_headers(config.get("headers"))), tuple(params), config)


def json_text(request: Request) -> str | None:
    """The body as JSON, when the step sends one: `json`, `graphql`, or a `body` that is no text."""
    config = request.config
    if "json" in config:
        return compact(config["json"])
    if "graphql" in config:
        given = config["graphql"]
        given = given if isinstance(given, Mapping) else {"query": given}
        return compact({"operationName" if name == "operation_name" else name: item for name, item in given.items()})
    return compact(config["body"]) if config.get("body") is not None and not isinstance(config["body"], str) else None


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """The parts of `multipart`, each with its name."""
    if isinstance(value, list):
        yield from (dict(item) for item in value if isinstance(item, Mapping))
    elif isinstance(value, Mapping):
        for name, given in value.items():
            for item in given if isinstance(given, list) else [given]:
                yield {"name": name, **item} if isinstance(item, Mapping) else {"name": name, "value": item}


def part_text(part: Mapping[str, Any]) -> str:
    """What a part holds, as text."""
    content = part.get("content", part.get("value"))
    if isinstance(content, Mapping | list):
        return compact(content)
    return "" if content is None else value_text(content)


def compact(value: Any) -> str:
    """JSON as it is sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _headers(value: Any) -> Iterator[tuple[str, str | None]]:
    for name, given in value.items() if isinstance(value, Mapping) else ():
        for item in given if isinstance(given, list) else [given]:
            yield str(name), None if item is None else value_text(item)
