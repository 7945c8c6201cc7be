"""Compares bodies by the rules of a Pact contract, and tells where they differ.

Defaults of the specification: every field of the contract must be there and equal; a response may have more fields; lists have
the same length. A matcher of a list makes its first item the template of all; type and most others hold for what is inside too,
until a nearer rule says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.actions.pact_errors import contract_error
from application.actions.pact_matchers import check, same, shown
from application.actions.pact_paths import BodyRules, Found, Place, RuleSet, kind_of_matcher, write_path
from application.actions.pact_rules import body_rules, rule_set
from application.engine.action import ActionError
from domain.expressions.frame import kind_of
from domain.values import dataclass

_MOST = 100
_VISITS = 1_000_000
_FREE_KEYS = ("values", "eachKey", "eachValue")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference: where, what the contract has there, what came, and a sentence."""

    place: str
    expected: Any
    actual: Any
    message: str


def body_mismatches(expected: Any, actual: Any, rules: BodyRules, *, more_fields: bool = True) -> list[Mismatch]:
    """Where the bodies differ, at most a hundred places. `more_fields`: whether fields beside the expected are fine."""
    walk = _Walk(rules, more_fields, [_VISITS])
    walk.compare((), expected, actual)
    return walk.found[:_MOST]


class _Walk:
    def __init__(self, rules: BodyRules, more_fields: bool, visits: list[int]) -> None:
        self._rules, self._more_fields, self._visits = rules, more_fields, visits
        self.found: list[Mismatch] = []

    def compare(self, place: Place, expected: Any, actual: Any) -> None:
        """Note where the two differ, at this place and below."""
        self._visits[0] -= 1
        if self._visits[0] < 0:
            raise ActionError("limit", f"comparing with the contract takes more than {_VISITS:,} steps")
        if len(self.found) >= _MOST:
            return
        rules = self._rules.at(place)
        objects = isinstance(expected, Mapping) and isinstance(actual, Mapping)
        lists = isinstance(expected, list) and isinstance(actual, list)
        if rules is not None:
            message = check(_of_the_holder(rules) if objects or lists else rules, expected, actual)
            if message is not None:
                self._note(place, expected, actual, message)
                return
        if objects:
            self._objects(place, expected, actual, rules)
        elif lists:
            self._lists(place, expected, actual, rules)
        elif rules is None and not same(expected, actual):
            self._note(place, expected, actual, _differ(expected, actual))

    def _objects(self, place: Place, expected: Mapping[str, Any], actual: Mapping[str, Any], rules: Found | None) -> None:
        if rules is not None and not rules.cascaded and rules.has(*_FREE_KEYS):
            self._free_keys(place, expected, actual, rules)
            return
        for name, value in expected.items():
            if name in actual:
                self.compare((*place, name), value, actual[name])
            else:
                self._note((*place, name), value, None, f"expected {shown(value)}, and it is missing")
        if not self._more_fields or (rules is not None and rules.has("equality")):
            for name in actual:
                if name not in expected:
                    self._note((*place, name), None, actual[name], f"{shown(actual[name])} was not expected")

    def _free_keys(self, place: Place, expected: Mapping[str, Any], actual: Mapping[str, Any], rules: Found) -> None:
        """Any fields; each value is like that of its name or else like the first one, if values are looked at."""
        template = next(iter(expected.values()), None)
        looked_at = rules.has("values", "eachValue")
        for name, value in actual.items():
            for matcher in rules.rules.matchers:
                if kind_of_matcher(matcher) == "eachKey":
                    message = check(Found(_inner(matcher)), template, name)
                    if message is not None:
                        self._note((*place, name), None, name, f"the name: {message}")
            if name in expected or (looked_at and expected):
                self.compare((*place, name), expected.get(name, template), value)

    def _lists(self, place: Place, expected: list[Any], actual: list[Any], rules: Found | None) -> None:
        if rules is not None and not rules.cascaded and rules.has("arrayContains"):
            self._variants(place, expected, actual, rules)
            return
        if rules is None or set(rules.rules.kinds()) == {"equality"}:
            if len(expected) != len(actual):
                self._note(place, expected, actual, f"expected {len(expected)} items, got {len(actual)}")
            for index, pair in enumerate(zip(expected, actual, strict=False)):
                self.compare((*place, index), *pair)
        elif expected:
            for index, value in enumerate(actual):
                self.compare((*place, index), expected[index] if index < len(expected) else expected[0], value)

    def _variants(self, place: Place, expected: list[Any], actual: list[Any], rules: Found) -> None:
        """Each variant must be like at least one item."""
        for matcher in rules.rules.matchers:
            for variant in _variants_of(matcher, place):
                index = variant.get("index", 0) if isinstance(variant, Mapping) else None
                if not isinstance(index, int) or not 0 <= index < len(expected):
                    raise contract_error(f"a variant of arrayContains at {write_path(place)} has no item in the example")
                inner = body_rules(variant.get("rules"))
                if not any(self._fits(inner, expected[index], item) for item in actual):
                    message = f"no item is like the variant {shown(expected[index])}"
                    self._note(place, expected[index], actual, message)

    def _fits(self, rules: BodyRules, expected: Any, actual: Any) -> bool:
        walk = _Walk(rules, self._more_fields, self._visits)
        walk.compare((), expected, actual)
        return not walk.found

    def _note(self, place: Place, expected: Any, actual: Any, message: str) -> None:
        self.found.append(Mismatch(f"body {write_path(place)}", expected, actual, message))


def _variants_of(matcher: Mapping[str, Any], place: Place) -> list[Any]:
    variants = matcher.get("variants")
    if not isinstance(variants, list) or not variants:
        raise contract_error(f"arrayContains at {write_path(place)} has no variants")
    return variants


def _inner(matcher: Mapping[str, Any]) -> RuleSet:
    return rule_set({"matchers": matcher.get("rules", [])}, "eachKey")


def _of_the_holder(rules: Found) -> Found:
    """Equality of a list or an object is that of its parts, which may have rules of their own."""
    matchers = tuple(matcher for matcher in rules.rules.matchers if kind_of_matcher(matcher) != "equality")
    return Found(RuleSet(matchers, rules.rules.every), rules.cascaded)


def _differ(expected: Any, actual: Any) -> str:
    if kind_of(expected) != kind_of(actual):
        return f"expected {kind_of(expected)} ({shown(expected)}), got {kind_of(actual)} ({shown(actual)})"
    return f"expected {shown(expected)}, got {shown(actual)}"
