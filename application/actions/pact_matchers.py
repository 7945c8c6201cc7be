"""Single matchers of Pact contracts (specification 3.0 and 4.0): why a value does not hold against one; None when it does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from application.actions import pact_dates
from application.actions.pact_errors import contract_error
from application.actions.pact_paths import Found, RuleSet, kind_of_matcher
from domain.expressions.errors import Fault, did_you_mean
from domain.expressions.frame import kind_of
from domain.expressions.operators import is_number, pattern
from domain.expressions.values import number_text

_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII)
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_DECIMAL = re.compile(r"-?\d+\.\d+", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_SHOWN = 80
STATUS_CLASSES: Mapping[str, Callable[[int], bool]] = {
    "info": lambda status: 100 <= status < 200,
    "success": lambda status: 200 <= status < 300,
    "redirect": lambda status: 300 <= status < 400,
    "clientError": lambda status: 400 <= status < 500,
    "serverError": lambda status: 500 <= status < 600,
    "nonError": lambda status: status < 400,
    "error": lambda status: status >= 400,
}

Check = Callable[[Mapping[str, Any], Any, Any, "Options"], str | None]


class Options:
    """How matchers read values. `cascaded`: the rule was written for a holder. `texts`: of headers and queries, where a number
    is text."""

    __slots__ = ("cascaded", "texts")

    def __init__(self, *, cascaded: bool = False, texts: bool = False) -> None:
        self.cascaded, self.texts = cascaded, texts


def check(found: Found, expected: Any, actual: Any, *, texts: bool = False) -> str | None:
    """Why the actual value does not hold; all matchers must hold, or one of them, as the rules say."""
    options = Options(cascaded=found.cascaded, texts=texts)
    told = [_one(matcher, expected, actual, options) for matcher in found.rules.matchers]
    wrong = [text for text in told if text is not None]
    if not wrong or (not found.rules.every and len(wrong) < len(told)):
        return None
    return "; ".join(wrong) if found.rules.every else " and ".join(wrong)


def known(rules: RuleSet) -> None:
    """ActionError `config` for a matcher that is not known here: what cannot be checked is never taken for right."""
    for matcher in rules.matchers:
        kind = kind_of_matcher(matcher)
        if kind not in CHECKS and kind not in CONTAINERS:
            names = [*CHECKS, *CONTAINERS]
            hint = did_you_mean(kind, names) or f"known are: {', '.join(names)}"
            raise contract_error(f"the matcher {kind or json.dumps(dict(matcher))[:80]!r} is not supported", hint)
        if kind == "regex":
            _pattern(matcher)
        if kind in DATES and not isinstance(_format(matcher, kind), str | None):
            raise contract_error(f"the format of a {kind} must be text")


def shown(value: Any) -> str:
    """A value for people, as JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def as_text(value: Any) -> str:
    """A plain value as text."""
    if isinstance(value, str):
        return value
    if is_number(value):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def same(expected: Any, actual: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, true is not 1."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(same(expected[name], actual[name]) for name in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    return bool(expected == actual)


def _one(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    kind = kind_of_matcher(matcher)
    function = CHECKS.get(kind)
    return function(matcher, expected, actual, options) if function is not None else None


def _equality(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    return None if same(expected, actual) else f"expected {shown(expected)}, got {shown(actual)}"


def _type(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    if kind_of(expected) != kind_of(actual):
        return f"expected {kind_of(expected)} (such as {shown(expected)}), got {shown(actual)}"
    least, most = matcher.get("min"), matcher.get("max")
    if options.cascaded or not isinstance(actual, list):
        return None
    if isinstance(least, int) and len(actual) < least:
        return f"expected at least {least} items, got {len(actual)}"
    if isinstance(most, int) and len(actual) > most:
        return f"expected at most {most} items, got {len(actual)}"
    return None


def _pattern(matcher: Mapping[str, Any]) -> Any:
    text = matcher.get("regex")
    if not isinstance(text, str):
        raise contract_error("a matcher of type regex needs regex")
    try:
        return pattern(text)
    except Fault as fault:
        raise contract_error(fault.message, fault.hint) from None


def _regex(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    wanted = f"expected a text with the pattern {matcher['regex']}"
    if isinstance(actual, dict | list) or actual is None:
        return f"{wanted}, got {shown(actual)}"
    try:
        held = _pattern(matcher).search(as_text(actual)) is not None
    except UnicodeEncodeError:
        held = False
    return None if held else f"{wanted}, got {shown(actual)}"


def _include(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    part = as_text(matcher.get("value", ""))
    return None if part in as_text(actual) else f"expected a text that includes {shown(part)}, got {shown(actual)}"


def _number(name: str, number: Callable[[Any], bool], text: re.Pattern[str]) -> Check:
    def function(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
        held = number(actual) or (options.texts and isinstance(actual, str) and text.fullmatch(actual) is not None)
        return None if held else f"expected {name}, got {shown(actual)}"

    return function


def _boolean(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    held = isinstance(actual, bool) or (options.texts and actual in ("true", "false"))
    return None if held else f"expected true or false, got {shown(actual)}"


def _null(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    return None if actual is None else f"expected null, got {shown(actual)}"


def _time(kind: str) -> Check:
    def function(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
        given = _format(matcher, kind)
        if isinstance(actual, str) and pact_dates.fits(kind, given, actual):
            return None
        return f"expected a {kind} of the form {given or pact_dates.DEFAULTS.get(kind, 'ISO 8601')}, got {shown(actual)}"

    return function


def _format(matcher: Mapping[str, Any], kind: str) -> Any:
    """Its format: version 3 also calls it by the kind."""
    return matcher.get("format", matcher.get(kind, matcher.get("timestamp")))


def _semver(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    held = isinstance(actual, str) and len(actual) <= 256 and _SEMVER.fullmatch(actual)
    return None if held else f"expected a version such as 1.2.3, got {shown(actual)}"


def _not_empty(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    if kind_of(expected) != kind_of(actual):
        return f"expected {kind_of(expected)} that is not empty, got {shown(actual)}"
    return f"expected something that is not empty, got {shown(actual)}" if actual in ("", [], {}, None) else None


def _status(matcher: Mapping[str, Any], expected: Any, actual: Any, options: Options) -> str | None:
    wanted = matcher.get("status")
    if isinstance(wanted, list):
        return None if actual in wanted else f"expected one of {', '.join(map(str, wanted))}, got {actual}"
    if not isinstance(wanted, str) or wanted not in STATUS_CLASSES:
        raise contract_error(f"{wanted!r} is no class of status codes", f"known are: {', '.join(STATUS_CLASSES)}")
    return None if STATUS_CLASSES[wanted](actual) else f"expected a status of {wanted}, got {actual}"


CHECKS: Mapping[str, Check] = {
    "equality": _equality,
    "type": _type,
    "regex": _regex,
    "include": _include,
    "integer": _number("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool), _INTEGER),
    "decimal": _number("a number with a decimal point", lambda value: isinstance(value, float), _DECIMAL),
    "number": _number("a number", is_number, _NUMBER),
    "boolean": _boolean,
    "null": _null,
    "date": _time("date"),
    "time": _time("time"),
    "timestamp": _time("timestamp"),
    "datetime": _time("datetime"),
    "semver": _semver,
    "notEmpty": _not_empty,
    "statusCode": _status,
}
DATES = ("date", "time", "timestamp", "datetime")
CONTAINERS = ("values", "eachKey", "eachValue", "arrayContains")
"""Matchers of lists and objects that say how their parts are compared."""
