"""Assertions of Postman's scripts in our language: chai (chaijs.com/api/bdd, version 4) and what Postman adds for answers.

What has no form that means the same, or would never pass there, raises NotTranslated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import Any

from application.importing import javascript_tree as js
from application.importing.javascript_patterns import pattern
from application.importing.postman_conditions import (
    NotTranslated,
    Value,
    falsy,
    missing,
    negation,
    nested,
    null,
    part,
    present,
    there,
    truth,
    truthy,
    undefined,
)
from application.importing.postman_containers import holds_parts, included, keys, members
from application.importing.postman_expressions import Translator
from application.importing.postman_response import answer_check, schema_check
from domain.values import dataclass

_SUBJECTS = ("pm.expect", "expect")
_SILENT = frozenset(
    {"to", "be", "been", "is", "that", "which", "and", "has", "have", "with", "at", "of", "same", "but", "does", "still"}
    | {"also"}
)
_MARKS = {
    "deep": "deep", "nested": "nested", "own": "own", "any": "any", "all": "all", "include": "contain", "includes": "contain",
    "contain": "contain", "contains": "contain", "not": "not", "a": "", "an": "",
}  # fmt: skip
_COMPARED = {
    ">": "above gt greaterThan", ">=": "least gte greaterThanOrEqual", "<": "below lt lessThan",
    "<=": "most lte lessThanOrEqual",
}  # fmt: skip
_OPERATORS = {word: operator for operator, words in _COMPARED.items() for word in words.split()}
_EQUAL = ("eql", "eqls", "equal", "equals", "eq")
_ARGUMENTS = {"within": 2, "closeTo": 2, "approximately": 2}
_TYPES = ("string", "number", "boolean", "array", "object", "null")


@dataclass(slots=True)
class _Chain:
    """A chain under way: what it is about, and the words that change all that follows."""

    subject: Value
    marks: set[str] = field(default_factory=set)

    @property
    def deep(self) -> bool:
        return "deep" in self.marks


def assertions(node: js.Node, translator: Translator, keep: Callable[[Any], str]) -> list[str]:
    """The checks of `pm.expect(...)...` or `pm.response.to...`. `keep` gives a name for a literal that is too long for an
    expression, such as a schema."""
    subject, links = _links(node)
    if subject is None:
        if not links or links[0][0] != "to":
            raise NotTranslated
        return _Answer(translator, keep).checks(links[1:])
    if not subject.arguments:
        raise NotTranslated
    return _Expectation(translator, keep).checks(translator.value(subject.arguments[0]), links)


def _links(node: js.Node) -> tuple[js.Call | None, list[tuple[str, tuple[js.Node, ...] | None]]]:
    """The call of `expect` (none for an answer), and the words behind it with their arguments."""
    found: list[tuple[str, tuple[js.Node, ...] | None]] = []
    while True:
        if js.spelled(node) == "pm.response":
            return None, found[::-1]
        given: tuple[js.Node, ...] | None = None
        if isinstance(node, js.Call):
            if js.spelled(node.function) in _SUBJECTS:
                return node, found[::-1]
            given, node = node.arguments, node.function
        key = js.plain(node.key) if isinstance(node, js.Member) else None
        if not isinstance(node, js.Member) or key is None:
            raise NotTranslated
        found.append((str(key[0]), given))
        node = node.object


class _Expectation:
    """Reads the words of one chain."""

    def __init__(self, translator: Translator, keep: Callable[[Any], str]) -> None:
        self._translator = translator
        self._keep = keep

    def checks(self, subject: Value, links: list[tuple[str, tuple[js.Node, ...] | None]]) -> list[str]:
        """The checks; `not` and the like hold for all words that follow."""
        chain, found = _Chain(subject), list[Value]()
        for place, (word, given) in enumerate(links):
            if given is None and (word in _SILENT or word in _MARKS):
                chain.marks.add(_MARKS.get(word, ""))
            elif given is None and word in ("length", "lengthOf") and place + 1 < len(links):
                chain.subject = Value(f"len({chain.subject.text})", "number")
            else:
                check = self._flag(chain, word) if given is None else self._method(chain, word, given)
                if "not" in chain.marks and word in ("property", "ownProperty") and place + 1 < len(links):
                    raise NotTranslated
                found.append(check)
        if not found:
            raise NotTranslated
        return [check.text for check in found]

    def _flag(self, chain: _Chain, word: str) -> Value:
        value, negated = chain.subject, "not" in chain.marks
        if word in ("true", "false"):
            if value.kind == "boolean":
                return value if (word == "true") is not negated else negation(value)
            return truth(f"{value.operand} {'!=' if negated else '=='} {word}")
        if word == "null":
            return null(value, negated)
        if word == "empty":
            return truth(f"len({value.text}) {'!=' if negated else '=='} 0")
        pair = {"undefined": (undefined, present), "exist": (there, missing), "ok": (truthy, falsy)}.get(word)
        if pair is None:
            raise NotTranslated
        return pair[negated](value)

    def _method(self, chain: _Chain, word: str, given: tuple[js.Node, ...]) -> Value:
        negated = "not" in chain.marks
        if word in ("property", "ownProperty") and given:
            return self._property(chain, given, negated)
        if word in ("keys", "key"):
            check = keys(chain.subject, chain.marks, [self._translator.value(one) for one in given])
            return negation(check) if negated else check
        if word in ("satisfy", "satisfies") and len(given) == 1:
            check = self._satisfied(chain.subject, given[0])
            return negation(check) if negated else check
        if word == "jsonSchema":
            check = schema_check(chain.subject, given, self._translator, self._keep)
            return negation(check) if negated else check
        if word in ("match", "matches") and len(given) == 1:
            return self._matched(chain.subject, given[0], negated)
        if word in ("instanceof", "instanceOf") and len(given) == 1 and js.spelled(given[0]) == "Array":
            return truth(f"{chain.subject.operand} is {'not ' if negated else ''}array")
        values = [self._translator.value(argument) for argument in given[: _ARGUMENTS.get(word, 1)]]
        if not values:
            raise NotTranslated
        return self._compared(chain, word, values, negated)

    def _matched(self, subject: Value, given: js.Node, negated: bool) -> Value:
        """JavaScript matches numbers too: where a pattern may be meant for one, its text is taken."""
        digits = isinstance(given, js.Pattern) and re.search(r"\\d|\[0-9", given.source) is not None
        text = f"string({subject.text})" if subject.kind == "number" or (digits and not subject.kind) else subject.operand
        return truth(f"{text} {'not ' if negated else ''}matches {pattern(given)}")

    def _compared(self, chain: _Chain, word: str, values: list[Value], negated: bool) -> Value:
        subject, value = chain.subject, values[0]
        if word in _EQUAL:
            return self._equal(chain, value, word in ("eql", "eqls"), negated)
        if word in ("a", "an"):
            return self._typed(subject, value, negated)
        if word in _OPERATORS:
            check = truth(f"{subject.operand} {_OPERATORS[word]} {value.operand}")
        elif word in ("length", "lengthOf"):
            return truth(f"len({subject.text}) {'!=' if negated else '=='} {value.operand}")
        elif word == "within" and len(values) == 2:
            check = truth(f"{subject.operand} >= {value.operand} && {subject.operand} <= {values[1].operand}")
        elif word in ("closeTo", "approximately") and len(values) == 2:
            check = truth(f"abs({subject.operand} - {value.operand}) <= {values[1].operand}")
        elif word == "oneOf" and "contain" not in chain.marks and not holds_parts(value):
            return truth(f"{subject.operand} {'not ' if negated else ''}in {value.operand}")
        elif word == "string":
            check = truth(f"{subject.operand} is string && {subject.operand} contains {value.operand}")
        elif word in ("include", "includes", "contain", "contains"):
            return included(subject, chain.deep, value, negated)
        elif word == "members":
            check = members(subject, chain.marks, value)
        else:
            raise NotTranslated
        return negation(check) if negated else check

    def _equal(self, chain: _Chain, value: Value, deep: bool, negated: bool) -> Value:
        subject = chain.subject
        if value.kind == "undefined":
            return present(subject) if negated else undefined(subject)
        if (value.compound or subject.compound) and not (deep or chain.deep):
            raise NotTranslated
        if value.constant == (None,):
            return null(subject, negated)
        if subject.kind == "boolean" and value.constant in ((True,), (False,)) and not subject.simple:
            return subject if value.constant[0] is not negated else negation(subject)
        return truth(f"{subject.operand} {'!=' if negated else '=='} {value.operand}")

    def _typed(self, subject: Value, kind: Value, negated: bool) -> Value:
        name = str(kind.constant[0]).lower() if kind.constant else ""
        if name == "undefined":
            return present(subject) if negated else undefined(subject)
        if name not in _TYPES or (name == "null" and subject.kind == "maybe"):
            raise NotTranslated
        return truth(f"{subject.operand} is {'not ' if negated else ''}{name}")

    def _property(self, chain: _Chain, given: tuple[js.Node, ...], negated: bool) -> Value:
        found, has, lacks = self._part(chain, given[0], len(given))
        chain.subject = found
        if len(given) == 1:
            return lacks if negated else has
        value = self._translator.value(given[1])
        if (value.compound and not chain.deep) or value.kind == "undefined":
            raise NotTranslated
        same = null(found) if value.constant == (None,) else truth(f"{found.operand} == {value.operand}")
        if not negated:
            return same
        return negation(same if found.kind == "number" else truth(f"{has.text} && {same.text}"))

    def _part(self, chain: _Chain, name: js.Node, count: int) -> tuple[Value, Value, Value]:
        """A part by its name, whether it is there, and whether it is not."""
        subject, key = chain.subject, self._translator.value(name)
        found = key.constant[0] if key.constant else None
        if found == "length" and count == 2:
            return Value(f"len({subject.text})", "number"), truth("true"), truth("false")
        if isinstance(found, str) and "nested" in chain.marks:
            return nested(subject, found)
        if isinstance(found, str) and found != "length" and not found.isdecimal():
            one = part(subject, found)
            lacks = undefined(one)
            # a check of a whole collection meets answers that are lists, and a list has no such property
            return one, present(one), truth(f"body is array || {lacks.text}") if subject.text == "body" else lacks
        if found is None and key.kind in ("", "text"):
            names = f"keys({subject.text})"
            one = Value(f"{subject.operand}[{key.text}]")
            return one, truth(f"{key.operand} in {names}"), truth(f"{key.operand} not in {names}")
        raise NotTranslated

    def _satisfied(self, subject: Value, function: js.Node) -> Value:
        if js.spelled(function) == "Number.isInteger":
            return truth(f"{subject.operand} is integer")
        if not isinstance(function, js.Arrow) or function.body is None or len(function.parameters) != 1:
            raise NotTranslated
        before = dict(self._translator.known)
        self._translator.known[function.parameters[0]] = subject
        try:
            return self._translator.truth(function.body)
        finally:
            self._translator.known = before


class _Answer(_Expectation):
    """Reads what is said of `pm.response`."""

    def checks(self, links: list[tuple[str, tuple[js.Node, ...] | None]]) -> list[str]:  # type: ignore[override]
        negated = False
        for place, (word, given) in enumerate(links):
            if word == "not" and given is None:
                negated = True
            elif word in ("responseTime", "responseSize") and given is None:
                subject = Value("time" if word == "responseTime" else "size", "number")
                rest = [("not", None), *links[place + 1 :]] if negated else links[place + 1 :]
                return super().checks(subject, rest)
            elif word not in _SILENT or given is not None:
                if place + 1 != len(links):
                    raise NotTranslated
                return [answer_check(word, given, negated, self._translator, self._keep).text]
        raise NotTranslated
