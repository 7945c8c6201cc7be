"""Writes interactions of Pact contracts: examples with matchers in them become an example and its matching rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from application.actions.pact_matchers import CHECKS, check
from application.actions.pact_paths import Found, Place, write_path
from application.actions.pact_rules import rule_set
from application.engine.action import ActionError
from domain.expressions.errors import did_you_mean
from domain.values import dataclass

_DATES = ("date", "time", "timestamp", "datetime")
_LISTS = ("eachLike", "values")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "regex": ("regex",),
    "type": ("min", "max"),
    "eachLike": ("min", "max"),
    "statusCode": ("status",),
    **dict.fromkeys(_DATES, ("format",)),
}
_NAMES = {3: {"datetime": "timestamp", "boolean": "type"}, 4: {"timestamp": "datetime"}}
_ONLY_FOUR = ("semver", "notEmpty", "statusCode")
_MOST = 1_000
_STAR = -1

Rules = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exactly:
    """A body that came from outside: what looks like a matcher in it is none."""

    value: Any


class InteractionWriter:
    """Writes interactions of one version of the specification: 3 or 4."""

    def __init__(self, version: int) -> None:
        self._version = version

    def write(self, given: Mapping[str, Any], place: str) -> dict[str, Any]:
        """The interaction as the file has it. ActionError `config` names what is wrong and where."""
        _known(given, ("description", "provider_states", "given", "request", "response", "pending"), place)
        description = _text(given.get("description"), f"{place}: description")
        states = _states(given, place)
        made = {
            "description": description,
            **({"providerStates": states} if states else {}),
            "request": self._request(_object(given.get("request"), f"{place}: request"), f"{place}: request"),
            "response": self._response(_object(given.get("response"), f"{place}: response"), f"{place}: response"),
        }
        if self._version == 3:
            return made
        key = hashlib.sha256(json.dumps([description, states], sort_keys=True).encode()).hexdigest()[:16]
        return {"type": "Synchronous/HTTP", "key": key, "pending": given.get("pending") is True, **made}

    def _request(self, given: Mapping[str, Any], place: str) -> dict[str, Any]:
        _known(given, ("method", "path", "query", "params", "headers", "body", "json", "matching_rules"), place)
        rules: Rules = {}
        path = self._plain(given.get("path", "/"), rules, "path", None, place)
        if not isinstance(path, str) or not path.startswith("/"):
            raise ActionError("config", f"{place}: path must begin with /")
        query = {
            name: [str(item) for item in (value if isinstance(value, list) else [value])]
            for name, value in self._named(given.get("query", given.get("params")), rules, "query", place).items()
        }
        method = _text(given.get("method", "GET"), f"{place}: method").upper()
        made = {"method": method, "path": path, **({"query": query} if query else {})}
        return {**made, **self._content(given, rules, place, names_json=True)}

    def _response(self, given: Mapping[str, Any], place: str) -> dict[str, Any]:
        _known(given, ("status", "headers", "body", "json", "matching_rules"), place)
        rules: Rules = {}
        status = self._plain(given.get("status", 200), rules, "status", None, place)
        status = int(status) if isinstance(status, str) and status.isdecimal() and len(status) == 3 else status
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
            raise ActionError("config", f"{place}: status must be a number from 100 to 599")
        return {"status": status, **self._content(given, rules, place, names_json=False)}

    def _content(self, given: Mapping[str, Any], rules: Rules, place: str, *, names_json: bool) -> dict[str, Any]:
        """Headers, body and rules. A JSON body that is sent is called so in the headers."""
        headers = {name: _header(value) for name, value in self._named(given.get("headers"), rules, "header", place).items()}
        key = next((name for name in ("body", "json") if name in given), None)
        made: dict[str, Any] = {}
        if key is not None:
            body = _Examples(self._matcher, f"{place}: {key}")
            value = body.read((), given[key])
            if body.rules:
                rules["body"] = body.rules
            called = next((text for name, text in headers.items() if name.lower() == "content-type"), None)
            if called is None and not isinstance(value, str) and value is not None and names_json:
                headers["Content-Type"] = called = "application/json"
            made["body"] = self._body(value, called)
        if headers:
            made = {"headers": headers if self._version == 3 else {name: [text] for name, text in headers.items()}, **made}
        for category, more in _object(given.get("matching_rules") or {}, f"{place}: matching_rules").items():
            rules[category] = {**rules.get(category, {}), **_object(more, f"{place}: matching_rules: {category}")}
        return {**made, **({"matchingRules": rules} if rules else {})}

    def _body(self, value: Any, called: str | None) -> Any:
        if self._version == 3:
            return value
        kind = called or ("text/plain" if isinstance(value, str) else "application/json")
        return {"content": value, "contentType": kind, "encoded": False}

    def _named(self, given: Any, rules: Rules, category: str, place: str) -> dict[str, Any]:
        made = {}
        for name, value in _object(given or {}, f"{place}: {category}").items():
            made[str(name)] = self._plain(value, rules, category, str(name), place)
        return made

    def _plain(self, value: Any, rules: Rules, category: str, name: str | None, place: str) -> Any:
        """A path, status, header or query value, which may be a matcher."""
        if not is_matcher(value):
            return value
        what = f"{place}: {category} {name}" if name else f"{place}: {category}"
        if value["match"] in _LISTS:
            raise ActionError("config", f"{what}: {value['match']} is a matcher of bodies")
        example, matcher = self._matcher(value, what)
        rule = {"combine": "AND", "matchers": [matcher]}
        _holds(rule, example, what, texts=category != "status")
        if name is None:
            rules[category] = rule
        else:
            rules.setdefault(category, {})[name] = rule
        return example

    def _matcher(self, given: Mapping[str, Any], what: str) -> tuple[Any, dict[str, Any]]:
        """The example and the rule of a matcher."""
        kind = given["match"]
        _known(given, ("match", "value", "example", *_OPTIONS.get(kind, ())), what)
        if kind in _ONLY_FOUR and self._version == 3:
            raise ActionError("config", f"{what}: the matcher {kind} came with version 4", hint="set version: 4")
        if "value" not in given and "example" not in given and kind != "null":
            raise ActionError("config", f"{what}: the matcher {kind} needs value, the example")
        rule = {"match": _NAMES[self._version].get(kind, kind)}
        rule |= {name: given[name] for name in _OPTIONS.get(kind, ()) if given.get(name) is not None}
        if kind in _DATES and self._version == 3 and "format" in rule:
            rule[rule["match"]] = rule["format"]  # Older readers of version 3 know the format by this name.
        if kind == "include":
            rule["value"] = str(given["value"]) if "value" in given else ""
        return given.get("example", given.get("value")), rule


class _Examples:
    """Takes the matchers out of a body; their rules are collected by path."""

    def __init__(self, matcher: Callable[[Mapping[str, Any], str], tuple[Any, dict[str, Any]]], place: str) -> None:
        self._matcher, self._place = matcher, place
        self.rules: Rules = {}

    def read(self, place: Place, value: Any) -> Any:
        """The example at a place."""
        if isinstance(value, Exactly):
            return value.value
        if is_matcher(value):
            return self._matched(place, value)
        if isinstance(value, Mapping):
            return {str(name): self.read((*place, str(name)), item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.read((*place, index), item) for index, item in enumerate(value)]
        return value

    def _matched(self, place: Place, given: Mapping[str, Any]) -> Any:
        what = f"{self._place} {write_path(place)}"
        example, rule = self._matcher(given, what)
        if given["match"] == "eachLike":
            return self._each_like(place, example, rule, what)
        if given["match"] == "values":
            return self._values(place, example, what)
        if given["match"] != "equality":
            example = self.read(place, example)
        self._add(place, rule, example, what)
        return example

    def _each_like(self, place: Place, example: Any, rule: dict[str, Any], what: str) -> list[Any]:
        least = rule.get("min", 1)
        if isinstance(least, bool) or not isinstance(least, int) or not 0 <= least <= _MOST:
            raise ActionError("config", f"{what}: min must be a number from 0 to {_MOST}")
        items = [self.read((*place, _STAR), example)] * max(1, least)
        self._add(place, {**rule, "match": "type", "min": least}, items, what)
        return items

    def _values(self, place: Place, example: Any, what: str) -> dict[str, Any]:
        made = {str(name): self.read((*place, str(name)), item) for name, item in _object(example, what).items()}
        self.rules[write_path(place)] = {"combine": "AND", "matchers": [{"match": "values"}]}
        self.rules[f"{write_path(place)}.*"] = {"combine": "AND", "matchers": [{"match": "type"}]}
        return made

    def _add(self, place: Place, rule: Mapping[str, Any], example: Any, what: str) -> None:
        path = write_path(place)
        made = {"combine": "AND", "matchers": [dict(rule)]}
        _holds(made, example, what)
        if path in self.rules:
            raise ActionError("config", f"{what}: a matcher is directly inside another one")
        self.rules[path] = made


def is_matcher(value: Any) -> bool:
    """Whether an object is a matcher: `match` says a known one."""
    kind = value.get("match") if isinstance(value, Mapping) else None
    return isinstance(kind, str) and (kind in CHECKS or kind in _LISTS)


def _holds(rule: Mapping[str, Any], example: Any, what: str, *, texts: bool = False) -> None:
    """An example that its own rule refuses would make a contract that nobody can keep."""
    message = check(Found(rule_set(rule, what)), example, example, texts=texts)
    if message is not None:
        raise ActionError("config", f"{what}: the example does not fit its matcher: {message}")


def _states(given: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    states = given.get("provider_states", given.get("given"))
    made: list[dict[str, Any]] = []
    for state in states if isinstance(states, list | tuple) else [] if states is None else [states]:
        if isinstance(state, str):
            made.append({"name": state})
        else:
            _known(_object(state, f"{place}: given"), ("name", "params"), f"{place}: given")
            params = _object(state.get("params") or {}, f"{place}: given: params")
            made.append({"name": _text(state.get("name"), f"{place}: given: name"), **({"params": params} if params else {})})
    return made


def _header(value: Any) -> str:
    items = value if isinstance(value, list | tuple) else [value]
    return ", ".join(item if isinstance(item, str) else json.dumps(item) for item in items)


def _known(given: Mapping[str, Any], names: tuple[str, ...], place: str) -> None:
    for name in given:
        if name not in names:
            hint = did_you_mean(str(name), names) or f"there is: {', '.join(names)}"
            raise ActionError("config", f"{place}: there is no key {str(name)[:80]!r}", hint=hint)


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{place} must be an object")
    return dict(value)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise ActionError("config", f"{place} must be text")
    return value
