"""Endpoints of a mock server as the flow writes them, read once: everything that can be wrong is told before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from application.actions.config_values import known_keys, read_expression
from application.actions.mock_server_faults import Fault, read_fault
from application.actions.mock_server_match import Match, match_expressions, read_match, read_methods
from application.actions.mock_server_paths import PathPattern, read_path
from application.actions.mock_server_state import Changes, read_changes
from application.engine.action import ActionError
from domain.definition import Path as Place
from domain.expressions import is_template
from domain.limits import Limits
from domain.values import dataclass

_KEYS = (
    *("path", "method", "methods", "match", "response", "responses", "state", "when_state", "times", "priority"),
    *("fault", "delay", "id", "name", "description"),
)
_RESPONSE = ("status", "headers", "body", "json", "text", "base64", "delay")
_AT_ONCE = ("path", "method", "methods", "id", "name", "times", "priority")
"""What is resolved before the server starts; the rest when a request comes."""
_NOT_WRITTEN = "endpoints are written in the flow, as a list or by `METHOD /path`"
_BODIES = ("body", "json", "text", "base64")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint; `methods` empty means any. `responses` come one after the other, and the last one stays."""

    id: str
    methods: frozenset[str]
    path: PathPattern
    match: Match
    responses: tuple[Mapping[str, Any], ...]
    changes: Changes
    when_state: Any = None
    times: int | None = None
    priority: int = 0
    fault: Fault | None = None

    @property
    def title(self) -> str:
        """`GET /users/:id`."""
        return f"{'|'.join(sorted(self.methods)) or 'ANY'} {self.path.text}"


Resolve = Callable[[Any], Any]


def read_endpoints(value: Any, resolve: Resolve, limits: Limits) -> list[Endpoint]:
    """The endpoints of a list, or of an object by `METHOD /path`. `resolve` gives paths, methods and numbers their values now;
    the rest waits for requests. ActionError `config` for what is no endpoint."""
    if value is None:
        return []
    items = list(_items(value))
    if len(items) > limits.mock_endpoints:
        raise ActionError("config", f"{len(items)} endpoints; a mock server has at most {limits.mock_endpoints}")
    return [_endpoint(item, number, resolve) for number, item in enumerate(items, 1)]


def expressions_of(value: Any) -> Iterator[tuple[Place, str]]:
    """The expressions in endpoints, each with its path below the key that holds them."""
    for key, item in _written(value):
        if isinstance(item, Mapping):
            yield from (((key, *place), text) for place, text in match_expressions(item.get("match")))
            if isinstance(item.get("when_state"), str):
                yield (key, "when_state"), item["when_state"]


def faults_of(value: Any) -> Iterator[tuple[Place, str, str | None]]:
    """What is wrong with endpoints whatever their templates come to: where below the key that holds them, what, a remedy."""
    if isinstance(value, str):
        yield (), _NOT_WRITTEN, "a template cannot give them: write each in its place"
    listed = value if isinstance(value, Mapping | list | tuple) else ()
    for number, ((key, _), item) in enumerate(zip(_written(listed), _items(listed), strict=True), 1):
        try:
            _endpoint(_as_far_as_known(item), number, lambda part: part)
        except ActionError as error:
            yield (key,), error.message, error.hint


def _as_far_as_known(item: Any) -> Any:
    """An endpoint without what a template at its beginning will come to, and without expressions, which are checked apart."""
    if not isinstance(item, Mapping):
        return item
    known = {name: part for name, part in item.items() if name not in _AT_ONCE or not _has_template(part)}
    known = {name: part for name, part in known.items() if name not in ("match", "when_state") or not isinstance(part, str)}
    if isinstance(known.get("match"), Mapping):
        known["match"] = {name: part for name, part in known["match"].items() if name != "expression"}
    return known if "path" in known or "path" not in item else {**known, "path": "/"}


def _has_template(value: Any) -> bool:
    if isinstance(value, str):
        return is_template(value)
    return isinstance(value, list | tuple) and any(map(_has_template, value))


def _written(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Endpoints as they are written, by their key or index."""
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            method, _, path = str(key).rpartition(" ")
            whole = isinstance(item, Mapping) and not item.keys() <= set(_RESPONSE)
            given = item if whole else {"response": {"body": item} if isinstance(item, str) else item}
            yield {"path": path, **({"method": method.strip()} if method else {}), **given}
    elif isinstance(value, list | tuple):
        yield from value
    else:
        raise ActionError("config", _NOT_WRITTEN)


def _endpoint(item: Any, number: int, resolve: Resolve) -> Endpoint:
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
        _responses(item, where),
        read_changes(item.get("state"), where),
        _state_condition(item.get("when_state"), where),
        _number(resolve(item.get("times")), "times", where, least=1),
        _number(resolve(item.get("priority", 0)), "priority", where) or 0,
        read_fault(item.get("fault"), where),
    )


def _responses(item: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], ...]:
    if "response" in item and "responses" in item:
        raise ActionError("config", f"{where} has response and responses; keep one")
    given = item.get("responses", [item.get("response")])
    if not isinstance(given, list | tuple) or not given:
        raise ActionError("config", f"{where}: responses is a list with at least one response")
    default = {"delay": item["delay"]} if item.get("delay") is not None else {}
    return tuple(_response(one, where, default) for one in given)


def _response(value: Any, where: str, default: Mapping[str, Any]) -> Mapping[str, Any]:
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return {**default, "status": value}
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{where}: a response is an object of {', '.join(_RESPONSE)}, or a status")
    known_keys(value, _RESPONSE, f"{where}: response")
    given = [name for name in _BODIES if name in value]
    if len(given) > 1:
        raise ActionError("config", f"{where}: {' and '.join(given)} are both a body; keep one")
    return {**default, **value}


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
