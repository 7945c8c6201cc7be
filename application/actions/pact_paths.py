"""Paths of matching rules in Pact contracts, and which rules stand for a place: the most exact path wins, and most cascade.

Source: the Pact specification, "Matchers": paths are a part of JSONPath; a name or index weighs 2, a star 1; longer paths win.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from application.actions.pact_errors import contract_error
from application.engine.action import ActionError
from domain.values import dataclass

Place = tuple[str | int, ...]
"""Names and indexes from the root of a body."""

_STAR = None
_ANY = -1
_MOST_LOOKS = 2_000_000
_TOKEN = re.compile(r"""\.(?P<name>[^.\[\]]+)|\[(?P<index>\d{1,9})\]|\[(?P<star>\*)\]|\[(?P<q>['"])(?P<quoted>.*?)(?P=q)\]""")
_NO_CASCADE = ("values", "eachKey", "eachValue", "arrayContains", "notEmpty")
_PLAIN = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The matchers of one path; `every`: all of them must hold (AND), or one of them (OR)."""

    matchers: tuple[Mapping[str, Any], ...]
    every: bool = True

    def kinds(self) -> tuple[str, ...]:
        """What each is called; a bare min or max means type, a bare regex is one."""
        return tuple(map(kind_of_matcher, self.matchers))


@dataclass(frozen=True, slots=True)
class Found:
    """The rules that stand for a place. `cascaded`: they were written for something that holds it."""

    rules: RuleSet
    cascaded: bool = False

    def has(self, *kinds: str) -> bool:
        """Whether one of the matchers is of one of these kinds."""
        return any(kind in kinds for kind in self.rules.kinds())


@dataclass(frozen=True, slots=True)
class BodyRules:
    """The rules of a body by their paths."""

    paths: tuple[tuple[Place, RuleSet], ...] = ()
    indexes: frozenset[int] = frozenset()
    """The indexes that paths name: all others are alike to the rules."""
    seen: dict[Place, Found | None] = field(default_factory=dict, compare=False)

    @staticmethod
    def of(paths: Mapping[Place, RuleSet]) -> BodyRules:
        """The rules of these paths."""
        indexes = frozenset(token for path in paths for token in path if isinstance(token, int))
        return BodyRules(tuple(paths.items()), indexes)

    def at(self, place: Place) -> Found | None:
        """The rules that stand for a place; those of the best path, or of the nearest holder that cascade."""
        key = tuple(_ANY if isinstance(token, int) and token not in self.indexes else token for token in place)
        if key not in self.seen:
            if len(self.seen) * len(self.paths) > _MOST_LOOKS:
                raise ActionError("limit", "the body has too many fields for so many matching rules")
            self.seen[key] = self._find(key)
        return self.seen[key]

    def _find(self, place: Place) -> Found | None:
        best, best_weight = None, 0
        for path, rules in self.paths:
            cascaded = len(path) < len(place)
            if len(path) > len(place) or (cascaded and all(kind in _NO_CASCADE for kind in rules.kinds())):
                continue
            weight = _weight(path, place)
            if weight and weight * (len(path) + 1) >= best_weight:
                best, best_weight = Found(rules, cascaded), weight * (len(path) + 1)
        return best


def kind_of_matcher(matcher: Mapping[str, Any]) -> str:
    """What a matcher is called."""
    kind = matcher.get("match")
    if kind is None:
        kind = "regex" if "regex" in matcher else "type" if "min" in matcher or "max" in matcher else ""
    return str(kind)


def read_path(text: str) -> Place:
    """The tokens behind `$`; None stands for a star. ActionError `config` for what is no such path."""
    if not text.startswith("$"):
        raise contract_error(f"the path of a matching rule begins with $, not {text[:80]!r}")
    tokens: list[Any] = []
    at = 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise contract_error(f"the path of a matching rule cannot be read at character {at + 1}: {text[:200]!r}")
        at = found.end()
        if found["index"] is not None:
            tokens.append(int(found["index"]))
        elif found["star"] or found["name"] == "*":
            tokens.append(_STAR)
        else:
            tokens.append(found["quoted"] if found["quoted"] is not None else found["name"])
    return tuple(tokens)


def write_path(place: Place) -> str:
    """The text of a place; an index of -1 is written as a star."""
    parts = []
    for token in place:
        if isinstance(token, int):
            parts.append("[*]" if token < 0 else f"[{token}]")
        else:
            parts.append(f".{token}" if _PLAIN.fullmatch(token) else f"['{token}']")
    return "$" + "".join(parts)


def _weight(path: Place, place: Place) -> int:
    """2 for the root and each token that is the same, 1 for a star, multiplied; 0 where they differ."""
    weight = 2
    for token, actual in zip(path, place, strict=False):
        if token is _STAR:
            continue
        if token != actual:
            return 0
        weight *= 2
    return weight
