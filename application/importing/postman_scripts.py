"""Scripts of Postman: the common idioms as assertions and outputs; what is not among them is handed back untouched.

Nothing is run: statements are recognised by their form. Idioms: learning.postman.com, "Test script examples".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import field

from application.documents.language import expression_faults
from application.importing.javascript import arguments, bodies, path_parts, statements, string
from application.importing.model import Check
from application.importing.text import member, quoted, value_literal
from domain.limits import LIMITS
from domain.values import dataclass

_SCOPES = r"(?:environment|collectionVariables|globals|variables|vault)"
SETTER = re.compile(rf"(?:pm\.{_SCOPES}\.set|postman\.set(?:Environment|Global)Variable)\s*\((.*)\)\Z", re.DOTALL)
_ALIAS = re.compile(r"(?:(?:const|let|var)\s+)?([A-Za-z_$][\w$]*)\s*=(?!=)\s*(.*)\Z", re.DOTALL)
_TESTS = re.compile(r"tests\s*\[(.*?)\]\s*=(?!=)\s*(.*)\Z", re.DOTALL)
_RESPONSE = re.compile(r"pm\.response\.to((?:\.\w+)+)\s*(?:\((.*)\))?\Z", re.DOTALL)
_EXPECT = re.compile(r"(?:pm\.)?expect\s*(?=\()")
_COMPARED = re.compile(r"(.*?)\s*(===?|!==?|<=|>=|<|>)\s*(.*)\Z", re.DOTALL)
IGNORED = re.compile(r"console\.\w+\s*\(|['\"]use strict['\"]\Z|(?:const|let|var)\s+\w+\s*\Z")
_DIRECT = {
    "pm.response.json()": "body",
    "JSON.parse(responseBody)": "body",
    "JSON.parse(pm.response.text())": "body",
    "pm.response.text()": "text",
    "responseBody": "text",
    "pm.response.code": "status",
    "responseCode.code": "status",
    "pm.response.responseTime": "time",
    "responseTime": "time",
    "pm.response.responseSize": "size",
}
_GET = re.compile(
    r"(?:pm\.(response\.headers|cookies|environment|collectionVariables|globals|variables)\.get|postman\.(getResponseHeader))\s*\("
)
_STATES = {
    "ok": "status == 200", "accepted": "status == 202", "badRequest": "status == 400", "unauthorized": "status == 401",
    "forbidden": "status == 403", "notFound": "status == 404", "rateLimited": "status == 429",
    "success": "status >= 200 && status < 300", "redirection": "status >= 300 && status < 400",
    "clientError": "status >= 400 && status < 500", "serverError": "status >= 500", "error": "status >= 400",
    "info": "status < 200", "json": "body is object || body is array", "withBody": "size > 0",
}  # fmt: skip
_REASONS = {
    "OK": 200, "Created": 201, "Accepted": 202, "No Content": 204, "Moved Permanently": 301, "Found": 302, "Not Modified": 304,
    "Bad Request": 400, "Unauthorized": 401, "Forbidden": 403, "Not Found": 404, "Conflict": 409, "Unprocessable Entity": 422,
    "Too Many Requests": 429, "Internal Server Error": 500,
}  # fmt: skip
_OPERATORS = {
    "==": "eql eqls equal equals eq", ">": "above gt greaterThan", ">=": "least gte", "<": "below lt lessThan",
    "<=": "most lte",
    "contains": "include includes contain contains string", "in": "oneOf",
}  # fmt: skip
_COMPARISONS = {word: operator for operator, words in _OPERATORS.items() for word in words.split()}
_FLAGS = {
    "true": "{} == true", "false": "{} == false", "null": "{} is null", "undefined": "{} not exists", "exist": "{} exists",
    "ok": "bool({})", "empty": "len({}) == 0",
}  # fmt: skip
_WORDS = "to be been is that which and has have with at of same but does still also deep any all own nested itself"
_CHAIN = frozenset(_WORDS.split())

_LONGEST = 2_000
"""Characters of a statement that is looked at."""


@dataclass(slots=True)
class Translated:
    """What a script became. `outputs` are expressions by variable; `left` statements that no idiom fits."""

    checks: list[Check] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


class ScriptReader:
    """Reads the test script of one request. `name_of` gives our name for one of Postman's variables."""

    def __init__(self, name_of: Callable[[str], str]) -> None:
        self._name_of = name_of
        self._known: dict[str, str] = {}
        self._set: dict[str, str] = {}

    def read(self, text: str) -> Translated:
        """The whole script, in order."""
        if len(text) > LIMITS.string_bytes:
            return Translated(left=[text])
        found = Translated()
        for statement in statements(text):
            self._statement(statement, "", found)
        return found

    def _statement(self, text: str, message: str, found: Translated) -> None:
        if text.startswith("pm.test") and (inner := bodies(text)) is not None:
            whole = Translated()
            for statement in inner[1]:
                self._statement(statement, inner[0], whole)
            found.checks += whole.checks
            found.outputs |= whole.outputs
            found.left += whole.left if whole.checks or whole.outputs or not whole.left else [text]
            return
        if IGNORED.match(text):
            return
        if len(text) > _LONGEST:
            found.left.append(text)
            return
        checks = list(self._checks(text))
        if match := _TESTS.match(text):
            message = string(match[1]) or ""
        if checks and not any(expression_faults(check) for check in checks):
            found.checks += [Check(check, message) for check in checks]
        elif not self._setter(text, found) and not self._alias(text):
            found.left.append(text)

    def _setter(self, text: str, found: Translated) -> bool:
        match = SETTER.match(text)
        given = arguments(match[1]) if match else []
        name = string(given[0]) if len(given) == 2 else None
        value = self._value(given[1]) if name is not None else None
        if name is None or value is None or expression_faults(value):
            return False
        found.outputs[self._name_of(name)] = value
        self._set[name] = value
        return True

    def _alias(self, text: str) -> bool:
        match = _ALIAS.match(text)
        value = self._value(match[2]) if match else None
        if match is None or value is None:
            return False
        self._known[match[1]] = value
        return True

    def _checks(self, text: str) -> Iterator[str]:
        if match := _TESTS.match(text):
            yield from self._compared(match[2])
        elif match := _RESPONSE.match(text):
            yield from self._response(match[1].strip(".").split("."), arguments(match[2]) if match[2] is not None else None)
        elif match := _EXPECT.match(text):
            yield from self._expected(text[match.end() :])

    def _compared(self, text: str) -> Iterator[str]:
        match = _COMPARED.match(text)
        if match is None:
            found = re.fullmatch(r"(.*)\.(?:has|includes)\((.*)\)", text, re.DOTALL)
            left, right = (self._value(found[1]), self._value(found[2])) if found else (None, None)
            if left and right:
                yield f"{left} contains {right}"
            return
        left, right = self._value(match[1]), self._value(match[3])
        if left is not None and right is not None:
            yield f"{left} {match[2][:2] if match[2][0] in '=!' else match[2]} {right}"

    def _response(self, words: list[str], given: list[str] | None) -> Iterator[str]:
        negated, last = "not" in words, words[-1]
        texts = [self._value(argument) for argument in given or []]
        found: str | None = None
        if given is None:
            found = _STATES.get(last)
        elif last == "status" and given:
            code = given[0] if given[0].isdecimal() else _REASONS.get(string(given[0]) or "")
            found = f"status == {code}" if code else None
        elif last == "header" and given and (name := string(given[0])) is not None:
            found = (
                f"headers[{quoted(name)}] exists"
                if len(given) == 1
                else f"headers[{quoted(name)}] == {texts[1]}"
                if texts[1]
                else None
            )
        elif last == "jsonBody" and (path := string(given[0]) if given else "") is not None:
            found = _exists(_deep("body", path)) if path else "body is object || body is array"
            found = f"{_deep('body', path)} == {texts[1]}" if path and len(given) > 1 and texts[1] else found
        elif last == "body":
            found = f"text == {texts[0]}" if texts and texts[0] else "size > 0"
        if found:
            yield f"not ({found})" if negated else found

    def _expected(self, text: str) -> Iterator[str]:
        """`(X).to.not.eql(Y)`: the chain of chai (chaijs.com/api/bdd), as far as it is common."""
        parts = path_parts("x" + text)
        if parts is None or not parts[1:] or not parts[1].startswith("("):
            return
        subject = self._value((arguments(parts[1][1:-1]) or [""])[0])
        negated, words, place = False, parts[2:], 0
        found: list[str] = []
        while subject is not None and place < len(words):
            word = words[place]
            call = words[place + 1] if place + 1 < len(words) and words[place + 1].startswith("(") else None
            place += 2 if call else 1
            if word == "not":
                negated = True
            elif word == "length" and call is None and place < len(words):
                subject = f"len({subject})"
            elif word not in _CHAIN or call is not None:
                checks = self._asserted(subject, word, arguments(call[1:-1]) if call else None)
                if checks is None:
                    return
                found += [_negated(check) if negated else check for check in checks]
                negated = False
                subject = checks[0].removesuffix(" exists") if word == "property" else subject
        yield from found

    def _asserted(self, subject: str, word: str, given: list[str] | None) -> list[str] | None:
        if given is None:
            return [_FLAGS[word].format(subject)] if word in _FLAGS else None
        values = [self._value(argument) for argument in given]
        if word in ("property", "ownProperty") and given and (name := string(given[0])) is not None:
            path = _deep(subject, name) if "." in name else member(subject, name)
            if len(values) < 2:
                return [_exists(path)]
            return [f"{path} == {values[1]}"] if values[1] is not None else None
        if word in ("keys", "key"):
            names = [
                string(one)
                for argument in given
                for one in (arguments(argument[1:-1]) if argument.startswith("[") else [argument])
            ]
            return [_exists(member(subject, name)) for name in names if name] if names and all(names) else None
        if word in ("a", "an", "instanceOf"):
            kind = string(given[0]) if given else None
            return [f"{subject} is {kind}"] if kind in ("string", "number", "boolean", "array", "object", "null") else None
        if word == "match" and given:
            pattern = _pattern(given[0])
            return [f"{subject} matches {pattern}"] if pattern else None
        if any(value is None for value in values) or not values:
            return None
        if word == "within" and len(values) == 2:
            return [f"{subject} >= {values[0]} && {subject} <= {values[1]}"]
        if word in ("length", "lengthOf"):
            return [f"len({subject}) == {values[0]}"]
        return [f"{subject} {_COMPARISONS[word]} {values[0]}"] if word in _COMPARISONS else None

    def _value(self, text: str) -> str | None:
        """The expression of a JavaScript one: literals, parts of the answer, variables; None for all others."""
        text = text.strip().removesuffix(";")
        literal = _literal(text)
        if literal is not None:
            return literal
        for spelled, meant in sorted(_DIRECT.items(), key=lambda item: -len(item[0])):
            if text == spelled or text.startswith((spelled + ".", spelled + "[", spelled + "?.")):
                return self._below(meant, text[len(spelled) :])
        if match := _GET.match(text):
            return self._got(match[1] or match[2], text[match.end() - 1 :])
        root = re.match(r"[A-Za-z_$][\w$]*", text)
        if root and root[0] in self._known:
            return self._below(self._known[root[0]], text[root.end() :])
        return None

    def _got(self, what: str, rest: str) -> str | None:
        parts = path_parts("x" + rest)
        given = arguments(parts[1][1:-1]) if parts and parts[1:] else []
        name = string(given[0]) if given else None
        if parts is None or name is None:
            return None
        if what in ("response.headers", "getResponseHeader"):
            root = f"headers[{quoted(name)}]"
        elif what == "cookies":
            root = f"cookies[{quoted(name)}]"
        else:
            root = self._set.get(name, self._name_of(name))
        return self._walk(root, parts[2:])

    def _below(self, root: str, rest: str) -> str | None:
        parts = path_parts("x" + rest)
        return self._walk(root, parts[1:]) if parts is not None else None

    def _walk(self, root: str, parts: list[str]) -> str | None:
        """The path with members, indexes, and the calls that our language has too."""
        calls = {"toLowerCase": "lower", "toUpperCase": "upper", "trim": "trim", "toString": "string"}
        for place, part in enumerate(parts):
            if part.startswith("["):
                key = string(part[1:-1])
                if key is None and not part[1:-1].strip().isdecimal():
                    return None
                root = member(root, key if key is not None else int(part[1:-1]))
            elif part == "()" and place and parts[place - 1] in calls:
                continue
            elif part.startswith("("):
                return None
            elif part in calls and parts[place + 1 : place + 2] == ["()"]:
                root = f"{calls[part]}({root})"
            elif part == "length":
                root = f"len({root})"
            else:
                root = member(root, part)
        return root


def _literal(text: str) -> str | None:
    if (found := string(text)) is not None:
        return quoted(found)
    if text == "undefined":
        return "null"
    try:
        return value_literal(json.loads(text))
    except (ValueError, RecursionError):
        pass
    if text.startswith("[") and text.endswith("]"):
        items = [_literal(item) for item in arguments(text[1:-1])]
        return f"[{', '.join(item for item in items if item is not None)}]" if None not in items else None
    return None


def _pattern(text: str) -> str | None:
    match = re.fullmatch(r"/(.+)/([a-z]*)", text.strip(), re.DOTALL)
    if match is None or set(match[2]) - set("gims"):
        return None
    flags = "".join(sorted(set(match[2]) & set("ims")))
    return quoted((f"(?{flags})" if flags else "") + match[1].replace("\\/", "/"))


def _exists(path: str) -> str:
    return f"{path} exists"


def _deep(root: str, path: str) -> str:
    for part in re.findall(r"[^.\[\]]+", path):
        root = member(root, int(part) if part.isdecimal() else part)
    return root


def _negated(check: str) -> str:
    for plain, negative in ((" == ", " != "), (" exists", " not exists"), (" is null", " is not null"), (" in ", " not in ")):
        if check.count(plain) == 1 and "&&" not in check and not re.search(r"['\"].*" + plain, check):
            return check.replace(plain, negative)
    return f"not ({check})"
