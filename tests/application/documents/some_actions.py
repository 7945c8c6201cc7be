"""A small table of actions, so that these tests know every key and result by heart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext, Key
from application.flow_documents import read_flow
from domain.definition import FlowDefinition
from domain.errors import InvalidFlow, Problem


async def nothing(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    return {}


HTTP = Action(
    name="http_request",
    aliases=("http",),
    keys={
        "method": Key(("string",), required=True, choices=("GET", "POST", "PUT", "DELETE")),
        "url": Key(("string",), required=True, description="Where to.", aliases=("address", "to")),
        "headers": Key(("object",)),
        "body": Key(),
        "timeout": Key(("duration",)),
        "follow_redirects": Key(("boolean",)),
        "max_redirects": Key(("integer",)),
        "weight": Key(("number",)),
        "tags": Key(("array",)),
    },
    run=nothing,
    result={"status": "The code.", "body": "The parsed body.", "headers": "The headers."},
)
LOG = Action("log", {"message": Key(("string",), True), "level": Key(("string",), choices=("info", "debug"))}, nothing)
FOR_EACH = Action(
    name="for_each",
    keys={
        "items": Key(("array",), one_of="source"),
        "range": Key(("string",), one_of="source"),
        "item_name": Key(("string",)),
        "steps": Key(("steps",), required=True),
    },
    run=nothing,
    result={"results": "One for each item."},
    body_names=lambda config: frozenset({"item", "index", str(config.get("item_name", "item"))}),
)
CONDITION = Action(
    name="condition",
    keys={"condition": Key(("expression",), required=True), "then": Key(("steps",)), "else": Key(("steps",))},
    run=nothing,
    result={"branch": "Which was taken."},
)
QUERY = Action(
    name="database_query",
    aliases=("mysql.*",),
    keys={"query": Key(("string",), True)},
    run=nothing,
    result={"rows": "The rows."},
)
MOCK = Action(name="mock", keys={"body": Key()}, run=nothing, unresolved=("body",))

ACTIONS = {name: action for action in (HTTP, LOG, FOR_EACH, CONDITION, QUERY, MOCK) for name in (action.name, *action.aliases)}


def flow(text: str, actions: Mapping[str, Action] | None = None, **options: Any) -> FlowDefinition:
    """The definition of a valid document."""
    return read_flow(text, file="f.yaml", actions=actions or ACTIONS, **options)[0]


def warnings(text: str, **options: Any) -> tuple[Problem, ...]:
    """The warnings of a valid document."""
    return read_flow(text, file="f.yaml", actions=ACTIONS, **options)[1]


def errors(text: str | bytes, **options: Any) -> tuple[Problem, ...]:
    """The errors of a document; none if it is valid."""
    try:
        read_flow(text, file="f.yaml", actions=ACTIONS, **options)
    except InvalidFlow as invalid:
        return invalid.problems
    return ()


def places(problems: tuple[Problem, ...]) -> list[tuple[int, int, str]]:
    """Line, column and title of each problem."""
    return [(problem.line, problem.column, problem.title) for problem in problems]


def with_step(step: str) -> str:
    """A flow whose only step is the given YAML mapping; its first line is line 4, column 7."""
    body = "\n".join(f"      {line}" if line else "" for line in step.splitlines())
    return f"flow:\n  name: x\n  steps:\n    - {body.strip()}\n"
