"""The action `mock_server_verify`: what a mock server must have received."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from application.actions.config_values import is_mistake, known_keys
from application.actions.http_request import read_seconds
from application.actions.mock_server import server_of, tell
from application.actions.mock_server_match import Match, match_expressions, read_match, read_methods
from application.actions.mock_server_paths import PathPattern, canonical, read_path
from application.actions.partial import as_json
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from domain.definition import Path as Place
from domain.expressions import ExpressionError
from domain.values import dataclass

if TYPE_CHECKING:
    from application.actions.mock_server_records import Records

_PART = ("method", "path", "endpoint", "match")
_SHOWN = 20


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Look at what was received until it is as expected, or time is up. ActionFailed tells what came instead."""
    import asyncio  # loaded when first used: validating needs none

    server = server_of(config, context)
    verifying = _Verifying(config, context)
    end = time.monotonic() + min(read_seconds(config.get("timeout"), 1.0), context.remaining())
    wait = config.get("timeout") is not None
    while True:
        matched = verifying.matched(server.records.requests)
        why = verifying.refusal(matched, server.records)
        left = end - time.monotonic()
        if not why or not wait or not verifying.may_change(matched) or left <= 0:
            break
        try:
            async with asyncio.timeout(left):
                await server.records.news()
        except TimeoutError:
            wait = False
    tell(server, context)
    result = _result(matched, server.records, context)
    if why:
        raise ActionFailed(_told(why, server.records), result=result)
    return result


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which requests are meant."""

    methods: frozenset[str]
    path: PathPattern | None
    endpoint: str | None
    match: Match

    def __str__(self) -> str:
        place = self.endpoint or (self.path.text if self.path is not None else "any path")
        return f"{'|'.join(sorted(self.methods))} {place}".strip()


class _Verifying:
    """One verification."""

    def __init__(self, config: Mapping[str, Any], context: ActionContext) -> None:
        self._context = context
        self._wanted = _read(config, "mock_server_verify", context)
        self._least, self._most = _bounds(config)
        in_order = config.get("in_order")
        if in_order is not None and (not isinstance(in_order, list) or not in_order):
            raise ActionError("config", "in_order is a list of objects with method, path and match")
        self._order = [_in_order(item, number, context) for number, item in enumerate(in_order or [], 1)]
        self._counts = in_order is None or any(config.get(key) is not None for key in (*_PART, *_COUNTS))

    def matched(self, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The requests that are meant."""
        return [request for request in requests if self._is_meant(self._wanted, request)]

    def refusal(self, matched: Sequence[Mapping[str, Any]], records: Records) -> str:
        """What is not as expected; empty when all is."""
        if self._counts:
            if not self._least <= len(matched) <= (self._most if self._most is not None else len(matched)):
                return f"expected {self._expected()} to {self._wanted}, got {len(matched)}"
            if records.left_out and self._most is not None:
                raise ActionError(
                    "limit",
                    f"{records.left_out} requests were not kept, so that they cannot be counted",
                    hint="verify earlier, and mock_server_reset_state between",
                )
        return self._out_of_order(records.requests)

    def may_change(self, matched: Sequence[Mapping[str, Any]]) -> bool:
        """Whether more requests can make it right."""
        return not self._counts or self._most is None or len(matched) <= self._most

    def _expected(self) -> str:
        if self._most is None:
            return f"at least {self._least} request{'s' * (self._least != 1)}"
        if self._least == self._most:
            return f"{self._most} request{'s' * (self._most != 1)}" if self._most else "no request"
        return f"at most {self._most}" if not self._least else f"{self._least} to {self._most} requests"

    def _out_of_order(self, requests: Sequence[Mapping[str, Any]]) -> str:
        pending: Iterator[Mapping[str, Any]] = iter(requests)
        before = ""
        for wanted in self._order:
            if not any(self._is_meant(wanted, request) for request in pending):
                return f"expected {wanted}{f' after {before}' if before else ''}, it did not come"
            before = str(wanted)
        return ""

    def _is_meant(self, wanted: _Wanted, request: Mapping[str, Any]) -> bool:
        if wanted.methods and request["method"] not in wanted.methods:
            return False
        if wanted.endpoint is not None and request["endpoint"] != wanted.endpoint:
            return False
        if wanted.path is not None and wanted.path.match(canonical(request["path"])) is None:
            return False
        names = {"request": request}
        try:
            return not wanted.match.refusal(
                request,
                as_json(request["body"]),
                lambda value: self._context.render(value, names),
                lambda text: self._context.evaluate(text, names),
            )
        except ExpressionError as error:
            if is_mistake(error):
                raise
            return False


_COUNTS = ("count", "at_least", "at_most", "never")


def _read(config: Mapping[str, Any], where: str, context: ActionContext) -> _Wanted:
    endpoint = config.get("endpoint")
    path = config.get("path")
    if path is None and isinstance(endpoint, str) and endpoint.startswith("/"):
        path, endpoint = endpoint, None
    methods = read_methods(config.get("method"), where)
    pattern = None if path is None else read_path(path)
    return _Wanted(methods, pattern, None if endpoint is None else str(endpoint), read_match(config.get("match"), where))


def _in_order(item: Any, number: int, context: ActionContext) -> _Wanted:
    where = f"in_order {number}"
    if not isinstance(item, Mapping):
        raise ActionError("config", f"{where} is an object of {', '.join(_PART)}")
    known_keys(item, _PART, where)
    resolved = {key: value if key == "match" else context.render(value, {}) for key, value in item.items()}
    return _read(resolved, where, context)


def _expressions(config: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if isinstance(config.get("match"), Mapping):
        yield from match_expressions(config["match"])
    order = config.get("in_order")
    for number, item in enumerate(order if isinstance(order, list) else []):
        if isinstance(item, Mapping):
            yield from ((("in_order", number, *place), text) for place, text in match_expressions(item.get("match")))


def _bounds(config: Mapping[str, Any]) -> tuple[int, int | None]:
    """The least and the most requests; at least 1 when nothing is said."""
    given = {key: _count(key, config[key]) for key in _COUNTS if config.get(key) is not None}
    if given.pop("never", 0):
        given["count"] = 0
    if "count" in given and len(given) > 1:
        raise ActionError("config", "count stands alone", hint="at_least and at_most go together")
    if "count" in given:
        return given["count"], given["count"]
    least = given.get("at_least", 0 if "at_most" in given else 1)
    most = given.get("at_most")
    if most is not None and least > most:
        raise ActionError("config", f"at_least {least} is more than at_most {most}")
    return least, most


def _count(key: str, value: Any) -> int:
    if key == "never":
        return int(value is True or value == "true")
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ActionError("config", f"{key} must be a whole number from 0")
    return number


def _result(matched: Sequence[Mapping[str, Any]], records: Records, context: ActionContext) -> dict[str, Any]:
    page = context.limits.page
    return {
        "count": len(matched),
        "matched": [dict(request) for request in matched[:page]],
        "requests": [dict(request) for request in records.requests[:page]],
        "unmatched": sum(not request["matched"] for request in records.requests),
        "errors": list(records.errors),
        "left_out": records.left_out,
    }


def _told(why: str, records: Records) -> str:
    lines = [f"  {_line(request)}" for request in records.requests[:_SHOWN]]
    more = len(records.requests) + records.left_out - len(lines)
    came = ["what came:", *lines, *([f"  and {more} more"] if more else [])] if lines else ["nothing came"]
    errors = ["the server could not answer:", *(f"  {error}" for error in records.errors)] if records.errors else []
    return "\n".join((why, *came, *errors))


def _line(request: Mapping[str, Any]) -> str:
    answered = request.get("fault") or request["status"]
    return f"{request['method']} {request['url'][:200]} -> {answered}{'' if request['matched'] else ' (no endpoint)'}"


MOCK_SERVER_VERIFY = Action(
    name="mock_server_verify",
    description="Checks what a mock server has received; tells what came instead.",
    keys={
        "name": Key(("string",), description="The server; `default` by default."),
        "server_id": Key(("string",), description="The server by its id."),
        "method": Key(("string", "array"), description="One method or several; any by default."),
        "path": Key(("string",), description="A path, written as in endpoints."),
        "endpoint": Key(("string",), description="The id of an endpoint (`GET /users/:id` unless it has one), or a path."),
        "match": Key(
            ("expression", "object"),
            description="An expression over `request`, or an object of query, headers, body (a part of it) and expression.",
        ),
        "count": Key(("integer",), description="Exactly so many requests."),
        "at_least": Key(("integer",), description="So many or more; 1 when nothing else is said."),
        "at_most": Key(("integer",), description="So many or fewer."),
        "never": Key(("boolean",), description="None at all."),
        "in_order": Key(("array",), description="Objects of method, path, endpoint and match that came one after the other."),
        "timeout": Key(("duration",), description="How long to wait for what is still to come; not at all by default."),
    },
    run=run,
    result={
        "count": "How many requests are meant.",
        "matched": "These requests: number, method, path, url, params, query, headers, body, endpoint, status, time.",
        "requests": "All requests, the first 200.",
        "unmatched": "How many of them no endpoint took.",
        "errors": "Templates of endpoints that could not be resolved; their callers got a 500.",
        "left_out": "How many requests were too many to be kept.",
    },
    unresolved=("match", "in_order"),
    names={"match": ("request",), "in_order": ("request",)},
    expressions=_expressions,
)
