"""Generators of Pact contracts: the parts of a request that are made anew when it is sent, and values of provider states.

Source: the Pact specification, versions 3 and 4, "Generators". Random values come from a `Random` that the execution's seed
makes, so that the same run can be had again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from application.actions.pact_contract import Body, Request
from application.actions.pact_errors import contract_error
from application.actions.pact_moments import moved, written
from application.actions.pact_paths import read_path
from domain.values import dataclass

_CATEGORIES = ("method", "path", "query", "header", "body", "status")
_DEFAULTS = {"Date": "yyyy-MM-dd", "Time": "HH:mm:ss", "DateTime": "yyyy-MM-dd'T'HH:mm:ss"}
_LONGEST = 10_000
"""Characters of one made text."""
_EXPRESSION = re.compile(r"\$\{([^{}]{1,200})\}")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TRUE = ("true", "1")


@dataclass(frozen=True, slots=True)
class Sources:
    """What values are made from: chance, the moment of the request, and what the provider's states have answered."""

    random: Random
    now: datetime
    states: Mapping[str, Any]
    kept: Callable[[str], None] = lambda text: None
    """Told of each generator that is left alone, with the reason."""


Made = Callable[[Any], Any]
"""The value for an example; the example itself where the generator is left alone."""


def applied(request: Request, given: Any, sources: Sources) -> Request:
    """The request with its generators applied. ActionError `config` for what is no generator."""
    if not given:
        return request
    if not isinstance(given, Mapping) or set(given) - set(_CATEGORIES):
        raise contract_error(f"generators are an object of {', '.join(_CATEGORIES)}")
    if "path" in given:
        request = replace(request, path=str(_maker(given["path"], sources)(request.path)))
    if "header" in given:
        request = replace(request, headers=_named(request.headers, given["header"], sources))
    if "query" in given:
        request = replace(request, query=_named(request.query, given["query"], sources))
    if "body" in given:
        request = replace(request, body=_in_body(request.body, given["body"], sources))
    return request


def _named(values: Mapping[str, list[str]], given: Any, sources: Sources) -> dict[str, list[str]]:
    """Headers or the query: every value of a name, or the one at its index."""
    made = {name: list(items) for name, items in values.items()}
    for text, generator in _object(given).items():
        tokens = _tokens(text)
        name = next((name for name in made if tokens and name.lower() == str(tokens[0]).lower()), None)
        if name is None:
            raise contract_error(f"there is a generator for {text[:80]!r}, and no such value in the request")
        make, wanted = _maker(generator, sources), tokens[1] if len(tokens) > 1 else None
        made[name] = [_as_text(make(item)) if wanted in (None, at) else item for at, item in enumerate(made[name])]
    return made


def _tokens(text: str) -> tuple[str | int, ...]:
    """A name, a name with an index (`X[0]`), or a path (`$['X'][0]`)."""
    if text.startswith("$"):
        return read_path(text)
    name, bracket, rest = text.partition("[")
    return (name, *read_path(f"$[{rest}")) if bracket else (name,)


def _in_body(body: Body, given: Any, sources: Sources) -> Body:
    if body.kind != "json":
        sources.kept("generators of bodies that are not JSON are not applied")
        return body
    value = json.loads(json.dumps(body.value))
    for text, generator in _object(given).items():
        make, path = _maker(generator, sources), read_path(text)
        if not path:
            value = make(value)
        for holder, key in _places(value, path):
            holder[key] = make(holder[key])
    return replace(body, value=value)


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Each place that the path means: what holds it, and its key or index there."""
    for key in _keys(value, path[0]) if path else ():
        if len(path) == 1:
            yield value, key
        else:
            yield from _places(value[key], path[1:])


def _keys(value: Any, token: Any) -> list[Any]:
    known = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return known if token is None else [token] if token in known else []


def _maker(generator: Any, sources: Sources) -> Made:
    kind = _object(generator).get("type")
    make = _MAKERS.get(str(kind))
    if make is None:
        if kind in _LEFT:
            sources.kept(f"the generator {kind} is not applied: {_LEFT[kind]}")
            return lambda example: example
        raise contract_error(f"there is no generator {str(kind)[:40]!r}", f"known are {', '.join((*_MAKERS, *_LEFT))}")
    return lambda example: make(generator, sources, example)


def _object(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise contract_error("a generator is an object with a type")
    return given


def _number(generator: Mapping[str, Any], name: str, default: int, most: int = 10**18) -> int:
    value = generator.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not -most <= value <= most:
        raise contract_error(f"{name} of a generator must be a whole number")
    return value


def _integer(generator: Mapping[str, Any], sources: Sources, example: Any) -> int:
    least, most = _number(generator, "min", 0), _number(generator, "max", 2**31 - 1)
    if least > most:
        raise contract_error("min of a generator is more than its max")
    return sources.random.randint(least, most)


def _size(generator: Mapping[str, Any], name: str) -> int:
    return min(max(_number(generator, name, 10), 1), _LONGEST)


def _decimal(generator: Mapping[str, Any], sources: Sources, example: Any) -> float:
    digits = min(max(_size(generator, "digits"), 2), 15)
    whole = sources.random.randint(1, digits - 1)
    text = "".join(sources.random.choice("123456789") for _ in range(digits))
    return float(f"{text[:whole]}.{text[whole:]}")


def _hexadecimal(generator: Mapping[str, Any], sources: Sources, example: Any) -> str:
    return "".join(sources.random.choice("0123456789abcdef") for _ in range(_size(generator, "digits")))


def _string(generator: Mapping[str, Any], sources: Sources, example: Any) -> str:
    return "".join(sources.random.choice(_ALPHABET) for _ in range(_size(generator, "size")))


def _uuid(generator: Mapping[str, Any], sources: Sources, example: Any) -> str:
    made = UUID(int=sources.random.getrandbits(128), version=4)
    forms = {"simple": made.hex, "upper-case-hyphenated": str(made).upper(), "URN": made.urn}
    return forms.get(str(generator.get("format")), str(made))


def _moment(generator: Mapping[str, Any], sources: Sources, example: Any) -> str:
    pattern = generator.get("format") or _DEFAULTS[str(generator["type"])]
    return written(moved(sources.now, str(generator.get("expression") or "")), str(pattern))


def _state(generator: Mapping[str, Any], sources: Sources, example: Any) -> Any:
    """`${name}` within a text, or the bare name of a value that a state has answered."""
    expression = str(generator.get("expression") or "")
    names = _EXPRESSION.findall(expression) or [expression]
    for name in names:
        if name not in sources.states:
            sources.kept(f"no provider state has answered {name[:80]!r}; the example is sent")
            return example
    if len(names) == 1 and expression in (names[0], f"${{{names[0]}}}"):
        return _as_kind(sources.states[names[0]], generator.get("dataType"))
    return _as_kind(_EXPRESSION.sub(lambda found: _as_text(sources.states[found[1]]), expression), generator.get("dataType"))


def _as_kind(value: Any, kind: Any) -> Any:
    try:
        if kind == "STRING":
            return _as_text(value)
        if kind == "INTEGER":
            return int(value)
        if kind in ("FLOAT", "DECIMAL"):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        raise contract_error(f"a provider state has answered {str(value)[:80]!r}, which is no {str(kind).lower()}") from None
    return str(value).lower() in _TRUE if kind == "BOOLEAN" else value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_MAKERS: Mapping[str, Callable[[Mapping[str, Any], Sources, Any], Any]] = {
    "RandomInt": _integer,
    "RandomDecimal": _decimal,
    "RandomHexadecimal": _hexadecimal,
    "RandomString": _string,
    "RandomBoolean": lambda generator, sources, example: sources.random.random() < 0.5,
    "Uuid": _uuid,
    "Date": _moment,
    "Time": _moment,
    "DateTime": _moment,
    "ProviderState": _state,
}
_LEFT = {
    "Regex": "its example is sent",
    "MockServerURL": "it is for answers of mock servers",
    "ArrayContains": "it is for answers of mock servers",
}
