"""Reads the matching rules of Pact contracts: the categories of versions 3 and 4, and the flat paths of version 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from application.actions.pact_errors import contract_error
from application.actions.pact_matchers import known
from application.actions.pact_paths import BodyRules, Place, RuleSet, kind_of_matcher, read_path
from domain.values import dataclass

_CATEGORIES = ("path", "query", "header", "body", "status")
_FLAT = {"headers": "header", "header": "header", "query": "query", "path": "path", "body": "body", "status": "status"}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a request or response; `headers` and `query` by name, those of headers in lower case."""

    path: RuleSet | None = None
    status: RuleSet | None = None
    headers: Mapping[str, RuleSet] = field(default_factory=dict)
    query: Mapping[str, RuleSet] = field(default_factory=dict)
    body: BodyRules = field(default_factory=BodyRules)


def read_rules(given: Any) -> Rules:
    """The rules of `matchingRules`. ActionError `config` for what cannot be read or is not supported."""
    if given is None:
        return Rules()
    if not isinstance(given, Mapping):
        raise contract_error("matchingRules must be an object")
    if any(str(name).startswith("$") for name in given):
        given = _categories(given)
    unknown = [str(name) for name in given if name not in _CATEGORIES]
    if unknown:
        raise contract_error(f"matching rules for {unknown[0]!r} are not supported", f"known are: {', '.join(_CATEGORIES)}")
    return Rules(
        path=_single(given.get("path"), "path"),
        status=_single(given.get("status"), "status"),
        headers={name.lower(): rules for name, rules in _named(given.get("header"), "header").items()},
        query=_named(given.get("query"), "query"),
        body=body_rules(given.get("body")),
    )


def body_rules(given: Any) -> BodyRules:
    """The rules of a body by path. What eachValue says is a rule of all values, unless they have one."""
    if given is None:
        return BodyRules()
    if not isinstance(given, Mapping):
        raise contract_error("the rules of a body are an object of paths")
    paths: dict[Place, RuleSet] = {
        read_path(str(path)): rule_set(item, str(path)) for path, item in given.items() if not _is_none(item)
    }
    star: Place = (None,)  # type: ignore[assignment]
    for path, rules in list(paths.items()):
        for matcher in rules.matchers:
            if kind_of_matcher(matcher) == "eachValue":
                paths.setdefault(path + star, rule_set({"matchers": matcher.get("rules", [])}, "eachValue"))
    return BodyRules.of(paths)


def rule_set(given: Any, what: str) -> RuleSet:
    """The matchers of one path: {combine, matchers}, or one matcher as version 2 writes it."""
    if isinstance(given, Mapping) and "matchers" not in given:
        given = {"matchers": [given]}
    matchers = given.get("matchers") if isinstance(given, Mapping) else None
    if not isinstance(matchers, list) or not matchers or not all(isinstance(matcher, Mapping) for matcher in matchers):
        raise contract_error(f"the rule of {what[:80]!r} has no matchers")
    combine = given.get("combine", "AND")
    if combine not in ("AND", "OR"):
        raise contract_error(f"the matchers of {what[:80]!r} are combined by AND or OR, not {str(combine)[:20]!r}")
    rules = RuleSet(tuple(matchers), combine == "AND")
    known(rules)
    return rules


def _single(given: Any, what: str) -> RuleSet | None:
    return None if not given or _is_none(given) else rule_set(given, what)


def _is_none(given: Any) -> bool:
    """Some tools write a path with an empty list of matchers: the example stands as it is."""
    return isinstance(given, Mapping) and given.get("matchers") == []


def _named(given: Any, what: str) -> dict[str, RuleSet]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise contract_error(f"the rules of {what} are an object of names")
    return {_name(str(name)): rule_set(item, f"{what} {name}") for name, item in given.items() if not _is_none(item)}


def _name(text: str) -> str:
    """A header or query value may be named as a path: $.X, $['X'], X[0]."""
    if text.startswith("$"):
        path = read_path(text)
        return str(path[0]) if path else ""
    return text.split("[", 1)[0]


def _categories(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Version 2: one path for everything, such as $.body.items[*].id."""
    made: dict[str, Any] = {}
    for text, matcher in flat.items():
        path = read_path(str(text))
        category = _FLAT.get(str(path[0]) if path else "")
        if category is None:
            raise contract_error(f"the path of a matching rule is not supported: {str(text)[:80]!r}")
        if category in ("path", "status"):
            made[category] = matcher
        elif category == "body":
            made.setdefault("body", {})["$" + str(text).split("body", 1)[1].lstrip("'\"]")] = matcher
        else:
            made.setdefault(category, {})[str(path[1]) if len(path) > 1 else ""] = matcher
    return made
