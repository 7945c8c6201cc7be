"""Responses of mock endpoints as the flow writes them: what is sent, when it is the one, what goes wrong, what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

from application.actions.config_values import known_keys, read_expression
from application.actions.mock_server_faults import Fault, read_fault
from application.actions.mock_server_state import Changes, read_changes
from application.engine.action import ActionError
from domain.definition import Path as Place
from domain.values import dataclass

CONTENT = ("status", "headers", "body", "json", "text", "base64", "delay")
RESPONSE = (*CONTENT, "when", "fault", "hang", "close_connection", "state_changes", "body_from_file", "binary")
_BODIES = ("body", "json", "text", "base64", "body_from_file")
_FAULTS = {"hang": "hang", "close_connection": "empty"}

ReadBody = Callable[[str, bool], Mapping[str, Any]]
"""The body of a file, which is binary or not, as a part of a response."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response. Templates of `content` are not resolved yet; `changes` are made after it; `when` is an expression. In a
    scenario it is sent while its endpoint is in `stage`, which is `following` then."""

    content: Mapping[str, Any]
    when: str | None = None
    fault: Fault | None = None
    changes: Changes = ()
    stage: str | None = None
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Chaos:
    """Responses that come instead, each with its probability: `bounds` are these added up, in millionths."""

    bounds: tuple[float, ...] = ()
    responses: tuple[Response, ...] = ()

    def chosen(self, chance: int) -> Response | None:
        """The response whose turn it is: `chance` is a number below a million."""
        pairs = zip(self.bounds, self.responses, strict=True)
        return next((response for bound, response in pairs if chance < bound), None)


NO_CHAOS = Chaos()


def no_file(path: str, binary: bool) -> Mapping[str, Any]:
    """In the place of the body of a file where no file is looked at."""
    return {}


def response_expressions(item: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """The conditions of an endpoint's responses, each with its path in it."""
    yield from _when(item.get("response"), ("response",))
    for name, inner in (("responses", ()), ("scenarios", ("response",)), ("chaos_rules", ("response",))):
        for number, one in enumerate(item[name] if isinstance(item.get(name), list) else []):
            response = one.get("response") if inner and isinstance(one, Mapping) else one
            yield from _when(response, (name, number, *inner))


def chaos_expressions(value: Any) -> Iterator[tuple[Place, str]]:
    """The conditions of the responses of chaos."""
    rules = value.get("rules") if isinstance(value, Mapping) else value
    for number, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, Mapping):
            place = ("rules", number) if isinstance(value, Mapping) else (number,)
            yield from _when(rule.get("response"), (*place, "response"))


def chaos_faults(value: Any) -> Iterator[tuple[str, str | None]]:
    """What is wrong with chaos, and a remedy."""
    if isinstance(value, str):
        return
    try:
        read_chaos(value, "the server", no_file)
    except ActionError as error:
        yield error.message, error.hint


def _when(response: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(response, Mapping) and isinstance(response.get("when"), str):
        yield (*place, "when"), response["when"]


def read_responses(item: Mapping[str, Any], where: str, read_body: ReadBody) -> tuple[Response, ...]:
    """`response`, or those of `responses` or `scenarios`. ActionError `config` for what is none."""
    given = [name for name in ("response", "responses", "scenarios") if name in item]
    if len(given) > 1:
        raise ActionError("config", f"{where} has {' and '.join(given)}; keep one")
    if item.get("stateful", True) not in (True, "true"):
        raise ActionError("config", f"{where}: stateful is true or left out: scenarios say it")
    if "scenarios" in item:
        return tuple(_scenarios(item["scenarios"], where, read_body))
    listed = item.get("responses", [item.get("response")])
    if not isinstance(listed, list | tuple) or not listed:
        raise ActionError("config", f"{where}: responses is a list with at least one response")
    default = {"delay": item["delay"]} if item.get("delay") is not None else {}
    return tuple(_response(one, where, default, read_body) for one in listed)


def _scenarios(value: Any, where: str, read_body: ReadBody) -> Iterator[Response]:
    """Objects of name, response and next_state: the first is where the endpoint begins."""
    known = ("name", "response", "next_state")
    if not isinstance(value, list | tuple) or not value or not all(isinstance(one, Mapping) for one in value):
        raise ActionError("config", f"{where}: scenarios is a list of objects of {', '.join(known)}")
    names = [str(one.get("name")) for one in value]
    for one in value:
        known_keys(one, known, f"{where}: a scenario")
        following = str(one.get("next_state", one.get("name")))
        if "name" not in one or names.count(str(one["name"])) > 1 or following not in names:
            hint = f"the scenarios are {', '.join(names)}"[:200]
            raise ActionError(
                "config", f"{where}: each scenario has a name of its own, and next_state is one of them", hint=hint
            )
        yield replace(_response(one.get("response"), where, {}, read_body), stage=str(one["name"]), following=following)


def read_chaos(value: Any, where: str, read_body: ReadBody) -> Chaos:
    """Rules of probability and response: a list, or an object of enabled and rules. ActionError `config` for others."""
    if isinstance(value, Mapping):
        known_keys(value, ("enabled", "rules"), f"{where}: chaos")
        value = value.get("rules") if value.get("enabled", True) in (True, "true") else None
    if value is None:
        return NO_CHAOS
    if not isinstance(value, list | tuple) or not all(isinstance(rule, Mapping) for rule in value):
        raise ActionError("config", f"{where}: chaos has rules: a list of objects of probability and response")
    for rule in value:
        known_keys(rule, ("probability", "response"), f"{where}: a rule of chaos")
    odds = [_probability(rule.get("probability"), where) for rule in value]
    if sum(odds) > 1.000001:
        raise ActionError("config", f"{where}: the probabilities of chaos are more than 1 together")
    responses = tuple(_response(rule.get("response"), where, {}, read_body) for rule in value)
    return Chaos(tuple(bound * 1_000_000 for bound in accumulate(odds)), responses)


def _probability(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ActionError("config", f"{where}: the probability of a rule is a number from 0 to 1")
    return float(value)


def _response(value: Any, where: str, default: Mapping[str, Any], read_body: ReadBody) -> Response:
    if value is None:
        return Response(default)
    if isinstance(value, int) and not isinstance(value, bool):
        return Response({**default, "status": value})
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{where}: a response is an object of {', '.join(CONTENT)}, or a status")
    known_keys(value, RESPONSE, f"{where}: response")
    given = [name for name in _BODIES if name in value]
    if len(given) > 1:
        raise ActionError("config", f"{where}: {' and '.join(given)} are both a body; keep one")
    content = {**default, **{name: value[name] for name in CONTENT if name in value}}
    if "body_from_file" in value:
        content |= read_body(value["body_from_file"], value.get("binary", False) in (True, "true"))
    when = read_expression(value["when"], f"{where}: when") if value.get("when") is not None else None
    return Response(content, when, _fault(value, where), read_changes(value.get("state_changes"), where))


def _fault(value: Mapping[str, Any], where: str) -> Fault | None:
    short = [kind for name, kind in _FAULTS.items() if value.get(name, False) in (True, "true")]
    if len(short) + (value.get("fault") is not None) > 1:
        raise ActionError("config", f"{where}: a response has one fault: hang, close_connection or fault")
    return read_fault(short[0] if short else value.get("fault"), where)
