"""Endpoints of a mock server as the flow writes them, read once: everything that can be wrong is told before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from application.actions.config_values import known_keys, read_expression
from application.actions.mock_server_faults import Fault, read_fault
from application.actions.mock_server_match import Match, read_match, read_methods
from application.actions.mock_server_paths import PathPattern, read_path
from application.actions.mock_server_responses import (
    NO_CHAOS,
    RESPONSE,
    Chaos,
    ReadBody,
    Response,
    read_chaos,
    read_responses,
)
from application.actions.mock_server_state import Changes, read_changes
from application.engine.action import ActionError
from domain.limits import Limits

_KEYS = (
    *("path", "method", "methods", "match", "response", "responses", "state", "when_state", "times", "priority"),
    *("fault", "delay", "chaos_rules", "stateful", "scenarios", "id", "name", "description"),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint; `methods` empty means any. `responses` come one after the other, and the last one
    stays; where they have conditions, the first whose condition holds."""

    id: str
    methods: frozenset[str]
    path: PathPattern
    match: Match
    responses: tuple[Response, ...]
    changes: Changes
    when_state: Any = None
    times: int | None = None
    priority: int = 0
    fault: Fault | None = None
    chaos: Chaos = NO_CHAOS

    @property
    def title(self) -> str:
        """`GET /users/:id`."""
        return f"{'|'.join(sorted(self.methods)) or 'ANY'} {self.path.text}"


Resolve = Callable[[Any], Any]


def read_endpoints(
    value: Any, resolve: Resolve, limits: Limits, read_body: ReadBody, chaos: Chaos = NO_CHAOS
) -> list[Endpoint]:
    """The endpoints of a list, or of an object by `METHOD /path`. `resolve` gives paths, methods and numbers their values now;
    the rest waits for requests. `chaos` is that of endpoints without their own. ActionError `config` for others."""
    if value is None:
        return []
    items = list(_items(value))
    if len(items) > limits.mock_endpoints:
        raise ActionError("config", f"{len(items)} endpoints; a mock server has at most {limits.mock_endpoints}")
    return [_endpoint(item, number, resolve, read_body, chaos) for number, item in enumerate(items, 1)]


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            method, _, path = str(key).rpartition(" ")
            whole = isinstance(item, Mapping) and not item.keys() <= set(RESPONSE)
            given = item if whole else {"response": {"body": item} if isinstance(item, str) else item}
            yield {"path": path, **({"method": method.strip()} if method else {}), **given}
    elif isinstance(value, list | tuple):
        yield from value
    else:
        raise ActionError("config", "endpoints are written in the flow, as a list or by `METHOD /path`")


def _endpoint(item: Any, number: int, resolve: Resolve, read_body: ReadBody, chaos: Chaos) -> Endpoint:
    where = f"endpoint {number}"
    if not isinstance(item, Mapping):
        raise ActionError("config", f"{where} must be an object with path and response")
    known_keys(item, _KEYS, where)
    path = read_path(resolve(item.get("path")))
    methods = read_methods(resolve(item.get("method", item.get("methods"))), where)
    title = f"{'|'.join(sorted(methods)) or 'ANY'} {path.text}"
    where = f"{where} ({title})"
    return Endpoint(
        str(resolve(item.get("id", item.get("name"))) or title),
        methods,
        path,
        read_match(item.get("match"), where),
        read_responses(item, where, read_body),
        read_changes(item.get("state"), where),
        _state_condition(item.get("when_state"), where),
        _number(resolve(item.get("times")), "times", where, least=1),
        _number(resolve(item.get("priority", 0)), "priority", where) or 0,
        read_fault(item.get("fault"), where),
        read_chaos(item["chaos_rules"], where, read_body) if "chaos_rules" in item else chaos,
    )


def _state_condition(value: Any, where: str) -> Any:
    if value is None or isinstance(value, Mapping):
        return value
    return read_expression(value, f"{where}: when_state")


def _number(value: Any, name: str, where: str, least: int | None = None) -> int | None:
    if value is None:
        return None
    number = int(value) if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 10 else value
    if isinstance(number, bool) or not isinstance(number, int) or (least is not None and number < least):
        raise ActionError("config", f"{where}: {name} must be a whole number{f' from {least}' if least is not None else ''}")
    return number
