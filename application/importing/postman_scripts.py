"""Scripts of Postman: the common idioms as assertions and outputs; what is not among them is handed back untouched.

Nothing is run: statements are recognised by their form. Idioms: learning.postman.com, "Test script examples".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import field
from typing import Any

from application.documents.language import expression_faults
from application.importing import javascript_tree as js
from application.importing.javascript import arguments, bodies, statements, string
from application.importing.javascript_syntax import read_expression
from application.importing.model import Check
from application.importing.postman_chai import assertions
from application.importing.postman_conditions import NotTranslated, Value
from application.importing.postman_expressions import Translator
from application.importing.text import value_literal
from domain.limits import LIMITS
from domain.values import dataclass

_SCOPES = r"(?:environment|collectionVariables|globals|variables|vault)"
SETTER = re.compile(rf"(?:pm\.{_SCOPES}\.set|postman\.set(?:Environment|Global)Variable)\s*\((.*)\)\Z", re.DOTALL)
_ALIAS = re.compile(r"(?:(?:const|let|var)\s+)?([A-Za-z_$][\w$]*)\s*=(?!=)\s*(.*)\Z", re.DOTALL)
_PARTS = re.compile(r"(?:const|let|var)\s*\{([\w$\s,:]*)\}\s*=(?!=)\s*(.*)\Z", re.DOTALL)
_TESTS = re.compile(r"tests\s*\[(.*?)\]\s*=(?!=)\s*(.*)\Z", re.DOTALL)
_DECLARED = re.compile(r"(?:const|let|var)\b")
_BOUND = re.compile(
    r"\b(?:const|let|var)\s+[^=;]{0,200}\bdata\b|\bdata\s*(?:=(?!=)|=>)|\([\w$\s,]{0,200}\bdata\b[\w$\s,]{0,200}\)\s*(?:=>|\{)"
)
"""Where a script gives another meaning to `data`, the row of the data file."""
_CHANGED = (
    r"(?<![\w$.]){}(?:\.[\w$]+|\[[^\]]{{0,200}}\])*\s*(?:[-+*/]?=(?!=|>)|\+\+|--|\.(?:push|pop|shift|splice|sort|reverse)\()"
    r"|(?:\bdelete\s+|\bassign\(\s*|\+\+|--){}\b"
)
IGNORED = re.compile(r"console\.\w+\s*\(|['\"]use strict['\"]\Z|(?:const|let|var)\s+\w+\s*\Z")
TESTING = re.compile(r"\bpm\.test\b|\bexpect\s*\(|\btests\s*\[|\bpm\.response\.to\b|\bassert\b")
"""What a statement that tests something says."""

_LONGEST = 20_000
"""Characters of a statement that is looked at."""
_SHORT = 200
"""Characters of a literal that an expression holds itself."""


@dataclass(slots=True)
class Translated:
    """What a script became. `outputs` are expressions by variable; `left` statements that no idiom fits; `columns` the
    variables that a data file brings."""

    checks: list[Check] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)


class ScriptReader:
    """Reads the test script of one request. `name_of` gives our name for one of Postman's variables, `keep` a name for a
    literal that is too long to stand in an expression."""

    def __init__(self, name_of: Callable[[str], str], keep: Callable[[Any], str] = value_literal) -> None:
        self._name_of = name_of
        self._keep = keep
        self._translator = Translator(name_of)

    def read(self, text: str) -> Translated:
        """The whole script, in order."""
        if len(text) > LIMITS.string_bytes:
            return Translated(left=[text])
        found = Translated(columns=self._translator.columns)
        self._translator.row = _BOUND.search(text) is None
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
        if match := _TESTS.match(text):
            message = string(match[1]) or ""
        try:
            if len(text) > _LONGEST:
                raise NotTranslated
            self._translated(text, message, found)
        except (NotTranslated, RecursionError):
            found.left.append(text)
            self._forget(text)

    def _translated(self, text: str, message: str, found: Translated) -> None:
        if match := SETTER.match(text):
            self._set(arguments(match[1]), found)
        elif match := _TESTS.match(text):
            self._add([self._translator.truth(_tree(match[2])).text], message, found)
        elif self._alias(text):
            return
        else:
            self._add(self._checks(_tree(text)), message, found)

    def _add(self, checks: list[str], message: str, found: Translated) -> None:
        if any(len(check) > LIMITS.expression_bytes or expression_faults(check) for check in checks):
            raise NotTranslated
        found.checks += [Check(check, message) for check in checks]

    def _set(self, given: list[str], found: Translated) -> None:
        name = string(given[0]) if len(given) == 2 else None
        if name is None:
            raise NotTranslated
        value = self._translator.value(_tree(given[1]))
        if value.kind in ("undefined", "array", "object") or expression_faults(value.text):
            raise NotTranslated
        found.outputs[self._name_of(name)] = value.text
        self._translator.given[name] = value

    def _alias(self, text: str) -> bool:
        """Whether the statement gives a name to a value."""
        if match := _PARTS.match(text):
            self._parts(match[1], match[2])
        elif match := _ALIAS.match(text):
            self._translator.known[match[1]] = self._translator.value(_tree(match[2]))
        else:
            return False
        return True

    def _parts(self, names: str, text: str) -> None:
        """`const {id, name: title} = ...`."""
        whole = _tree(text)
        for pair in names.split(","):
            key, _, name = (piece.strip() for piece in pair.partition(":"))
            if key:
                self._translator.known[name or key] = self._translator.value(js.Member(whole, js.Constant(key)))

    def _checks(self, node: js.Node) -> list[str]:
        if isinstance(node, js.Call) and isinstance(node.function, js.Member) and node.function.key == js.Constant("forEach"):
            return [self._each(self._translator.value(node.function.object), node.arguments)]
        return assertions(node, self._translator, self._kept)

    def _each(self, owner: Value, given: tuple[js.Node, ...]) -> str:
        """`list.forEach(...)` whose function only asserts."""
        function = given[0] if len(given) == 1 else None
        if not isinstance(function, js.Arrow):
            raise NotTranslated
        with self._translator.each(function.parameters):
            checks = self._checks(function.body) if function.body is not None else self._block(function.block)
        if not checks:
            raise NotTranslated
        joined = checks[0] if len(checks) == 1 else " && ".join(f"({check})" for check in checks)
        return f"all({owner.text}, {joined})"

    def _block(self, text: str) -> list[str]:
        checks: list[str] = []
        for statement in statements(text):
            inner = bodies(statement) if statement.startswith("pm.test") else None
            for one in inner[1] if inner is not None else [statement]:
                if not (_DECLARED.match(one) and self._alias(one)):
                    checks += self._checks(_tree(one))
        return checks

    def _kept(self, value: Any) -> str:
        text = value_literal(value)
        return text if len(text) <= _SHORT else self._keep(value)

    def _forget(self, text: str) -> None:
        """What a statement that is not read changes is not known any more."""
        known = self._translator.known
        for name in [name for name in known if re.search(_CHANGED.format(re.escape(name), re.escape(name)), text)]:
            del known[name]
        for name in [name for name in self._translator.given if json.dumps(name)[1:-1] in text]:
            del self._translator.given[name]


def _tree(text: str) -> js.Node:
    node = read_expression(text)
    if node is None:
        raise NotTranslated
    return node
