"""Expressions of Postman's scripts in our language: parts of the answer, variables, literals, simple functions of lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field

from application.importing import javascript_tree as js
from application.importing.postman_conditions import (
    NotTranslated,
    Value,
    falsy,
    literal,
    loosely,
    missing,
    negation,
    null,
    part,
    present,
    there,
    truth,
    truthy,
    undefined,
)
from application.importing.text import quoted
from domain.values import dataclass

_RESPONSE: Mapping[str, tuple[str, str]] = {
    "pm.response.json()": ("body", ""),
    "pm.response.text()": ("text", "text"),
    "responseBody": ("text", "text"),
    "pm.response.code": ("status", "number"),
    "responseCode.code": ("status", "number"),
    "pm.response.responseTime": ("time", "number"),
    "responseTime": ("time", "number"),
    "pm.response.responseSize": ("size", "number"),
    "Date.now()": ("TIMESTAMP_MS", "number"),
}
_STORES = ("environment", "collectionVariables", "globals", "variables")
_GETTERS = {f"pm.{store}.get" for store in _STORES} | {
    "postman.getEnvironmentVariable", "postman.getGlobalVariable", "pm.iterationData.get",
}  # fmt: skip
_METHODS = {
    "toLowerCase": ("lower({})", "text"), "toUpperCase": ("upper({})", "text"), "trim": ("trim({})", "text"),
    "toString": ("string({})", "text"),
}  # fmt: skip
_WITH_ARGUMENT = {
    "includes": ("{} contains {}", "boolean"), "startsWith": ("{} startsWith {}", "boolean"),
    "endsWith": ("{} endsWith {}", "boolean"), "split": ("split({}, {})", "array"), "join": ("join({}, {})", "text"),
}  # fmt: skip
_PREDICATES = {
    "some": ("any", "boolean"), "every": ("all", "boolean"), "find": ("find", "maybe"), "filter": ("filter", "array"),
    "map": ("map", "array"), "findIndex": ("findIndex", "number"),
}  # fmt: skip
_FUNCTIONS = {
    "Number": ("float({})", "number"), "parseFloat": ("float({})", "number"), "parseInt": ("int({})", "number"),
    "String": ("string({})", "text"), "JSON.stringify": ("toJSON({})", "text"), "Object.keys": ("keys({})", "array"),
    "Object.values": ("values({})", "array"), "Math.floor": ("floor({})", "number"), "Math.ceil": ("ceil({})", "number"),
    "Math.abs": ("abs({})", "number"),
}  # fmt: skip
_TESTED = {"Array.isArray": "array", "Number.isInteger": "integer"}
_KINDS = {"string": "text", "number": "number", "boolean": "boolean"}


@dataclass(slots=True)
class Translator:
    """Translates expressions. `name_of` gives our name for a variable of Postman; `known` are the names of the script,
    `given` what it has set itself, `columns` the variables that a data file brings; `row` says that `data` is its row."""

    name_of: Callable[[str], str]
    known: dict[str, Value] = field(default_factory=dict)
    given: dict[str, Value] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)
    row: bool = True

    def value(self, node: js.Node) -> Value:
        """The expression of a tree. NotTranslated where there is none that means the same."""
        constant = js.plain(node)
        if constant is not None:
            return literal(constant[0])
        if isinstance(node, js.Name):
            return self._name(node.name)
        if isinstance(node, js.Texts):
            return self._joined([self.value(part) for part in node.parts])
        if isinstance(node, js.Items):
            return Value(f"[{', '.join(self.value(item).text for item in node.items)}]", "array")
        if isinstance(node, js.Entries):
            pairs = [f"{quoted(key)}: {self.value(item).text}" for key, item in node.entries]
            return Value("{" + ", ".join(pairs) + "}", "object")
        if isinstance(node, js.Operation):
            return self._operation(node.operator, node.operands)
        if isinstance(node, js.Member | js.Call):
            return self._chain(node)
        raise NotTranslated

    def truth(self, node: js.Node) -> Value:
        """The truth of a tree, as `if` would take it."""
        if isinstance(node, js.Operation) and node.operator in ("&&", "||"):
            left, right = (self.truth(one).operand for one in node.operands)
            return truth(f"{left} {node.operator} {right}")
        return truthy(self.value(node))

    @contextmanager
    def each(self, parameters: tuple[str, ...]) -> Iterator[None]:
        """The names of a function that is called for each element; elements of lists around it cannot be named inside."""
        before = dict(self.known)
        self.known = {name: value for name, value in before.items() if "#" not in value.text}
        self.known |= dict(zip(parameters, (Value("#"), Value("#index", "number")), strict=False))
        try:
            yield
        finally:
            self.known = before

    def _name(self, name: str) -> Value:
        if name in self.known:
            return self.known[name]
        if name == "undefined":
            return Value("null", "undefined")
        if name in _RESPONSE:
            return Value(*_RESPONSE[name])
        raise NotTranslated

    def _chain(self, node: js.Member | js.Call) -> Value:
        whole = js.spelled(node)
        if whole in _RESPONSE and whole.partition(".")[0] not in self.known:
            return Value(*_RESPONSE[whole])
        if isinstance(node, js.Call):
            return self._call(node)
        if isinstance(node.object, js.Name) and node.object.name == "data" and self.row:
            return self._column(node.key)
        owner, key = self.value(node.object), js.plain(node.key)
        if key == ("length",):
            return Value(f"len({owner.text})", "number")
        if key is None:
            return Value(f"{owner.operand}[{self.value(node.key).text}]")
        if not isinstance(key[0], str | int) or isinstance(key[0], bool) or (isinstance(key[0], int) and key[0] < 0):
            raise NotTranslated
        if node.optional:
            plain = isinstance(key[0], str) and key[0].isidentifier()
            return Value(f"{owner.operand}?.{key[0]}" if plain else f"{owner.operand}?.[{literal(key[0]).text}]", "maybe")
        return part(owner, key[0])

    def _column(self, key: js.Node) -> Value:
        found = js.plain(key)
        if found is None or not isinstance(found[0], str):
            raise NotTranslated
        name = self.name_of(found[0])
        self.columns.add(name)
        return Value(name, "named")

    def _call(self, node: js.Call) -> Value:
        spelled, arguments = js.spelled(node.function), node.arguments
        first = js.plain(arguments[0]) if arguments else None
        if spelled in _GETTERS or spelled.endswith((".headers.get", ".cookies.get", "getResponseHeader", ".has")):
            if first is None or not isinstance(first[0], str):
                raise NotTranslated
            found = self._read(spelled, first[0])
            if found is not None:
                return truth(f"{found.text} exists") if spelled.endswith(".has") else found
        if spelled == "JSON.parse" and len(arguments) == 1:
            inner = self.value(arguments[0])
            return Value("body") if inner.text == "text" else Value(f"fromJSON({inner.text})")
        if spelled == "parseInt" and len(arguments) == 2 and js.plain(arguments[1]) == (10,):
            arguments = arguments[:1]
        if spelled in _FUNCTIONS and len(arguments) == 1:
            shape, kind = _FUNCTIONS[spelled]
            return Value(shape.format(self.value(arguments[0]).text), kind)
        if spelled in _TESTED and len(arguments) == 1:
            return truth(f"{self.value(arguments[0]).operand} is {_TESTED[spelled]}")
        if isinstance(node.function, js.Member) and (name := js.plain(node.function.key)):
            return self._method(self.value(node.function.object), str(name[0]), arguments)
        raise NotTranslated

    def _read(self, spelled: str, name: str) -> Value | None:
        """What a getter of this spelling reads, or `has` asks for."""
        where = spelled.rpartition(".")[0]
        if where == "pm.response.headers" or spelled == "postman.getResponseHeader":
            return Value(f"headers[{quoted(name)}]", "named")
        if where == "pm.cookies":
            return Value(f"cookies[{quoted(name)}]", "named")
        if where == "pm.iterationData":
            return self._column(js.Constant(name))
        if spelled in _GETTERS or where.removeprefix("pm.") in _STORES:
            return self.given.get(name) or Value(self.name_of(name), "named")
        return None

    def _method(self, owner: Value, name: str, arguments: tuple[js.Node, ...]) -> Value:
        if name in _METHODS and not arguments:
            shape, kind = _METHODS[name]
            return Value(shape.format(owner.text), kind)
        if len(arguments) != 1:
            raise NotTranslated
        if name in _PREDICATES:
            return self._predicate(owner, name, arguments[0])
        given = self.value(arguments[0])
        if name == "hasOwnProperty":
            return truth(f"{given.operand} in keys({owner.text})")
        if name == "indexOf" and owner.kind == "text":
            return Value(f"indexOf({owner.text}, {given.text})", "number")
        name = "includes" if name == "has" and owner.kind == "text" else name
        if name not in _WITH_ARGUMENT or given.compound:
            raise NotTranslated
        shape, kind = _WITH_ARGUMENT[name]
        if kind == "boolean":
            return truth(shape.format(owner.operand, given.operand))
        return Value(shape.format(owner.text, given.text), kind)

    def _predicate(self, owner: Value, name: str, function: js.Node) -> Value:
        if not isinstance(function, js.Arrow) or function.body is None:
            raise NotTranslated
        ours, kind = _PREDICATES[name]
        with self.each(function.parameters):
            inner = self.value(function.body) if name == "map" else self.truth(function.body)
        return Value(f"{ours}({owner.text}, {inner.text})", kind)

    def _operation(self, operator: str, operands: tuple[js.Node, ...]) -> Value:
        if len(operands) == 1:
            return self._unary(operator, operands[0])
        if operator in ("===", "!==", "==", "!="):
            return self._equality(operator, *operands)
        if operator == "?":
            condition, yes, no = self.truth(operands[0]), self.value(operands[1]), self.value(operands[2])
            kind = yes.kind if yes.kind == no.kind else ""
            return Value(f"{condition.operand} ? {yes.operand} : {no.operand}", kind, simple=False)
        if operator == "instanceof":
            if js.spelled(operands[1]) != "Array":
                raise NotTranslated
            return truth(f"{self.value(operands[0]).operand} is array")
        left, right = self.value(operands[0]), self.value(operands[1])
        if operator in ("&&", "||"):
            if left.kind != "boolean" or left.kind != right.kind:
                raise NotTranslated
            return truth(f"{left.operand} {operator} {right.operand}")
        if operator == "in":
            return truth(f"{left.operand} in keys({right.text})")
        if operator in ("<", "<=", ">", ">="):
            return truth(f"{left.operand} {operator} {right.operand}")
        if operator == "+" and "text" in (left.kind, right.kind):
            return self._joined([left, right])
        if operator == "+" and not left.kind == right.kind == "number":
            raise NotTranslated
        kind = "" if operator == "??" else "number"
        return Value(f"{left.operand} {operator} {right.operand}", kind, simple=False)

    def _unary(self, operator: str, operand: js.Node) -> Value:
        value = self.value(operand)
        if operator == "!":
            return falsy(value)
        if operator == "-" and value.kind in ("", "number"):
            return Value(f"-{value.operand}", "number")
        if operator == "+":
            return Value(f"float({value.text})", "number")
        raise NotTranslated

    def _joined(self, parts: list[Value]) -> Value:
        """Texts one after another; what is no text is printed as JavaScript prints it."""
        if any(one.kind in ("array", "object", "maybe", "undefined") for one in parts):
            raise NotTranslated
        shown = [one.operand if one.kind == "text" else f"string({one.text})" for one in _merged(parts)]
        return Value(" + ".join(shown) or "''", "text", simple=len(shown) < 2)

    def _equality(self, operator: str, one: js.Node, other: js.Node) -> Value:
        same = operator[0] == "="
        if isinstance(one, js.Operation) and one.operator == "typeof":
            found = self._typed(self.value(one.operands[0]), js.plain(other))
            return found if same else negation(found)
        left, right = self.value(one), self.value(other)
        if left.compound or right.compound:
            raise NotTranslated
        loose = len(operator) == 2
        if loose and right.kind == "undefined":
            right = literal(None)
        if right.kind == "undefined":
            return undefined(left) if same else present(left)
        if right.constant == (None,):
            if loose:
                return missing(left) if same else there(left)
            return null(left, not same)
        return loosely(left, right, same) if loose else truth(f"{left.operand} {'==' if same else '!='} {right.operand}")

    def _typed(self, value: Value, kind: tuple[object] | None) -> Value:
        if kind == ("undefined",):
            return undefined(value)
        if kind == ("object",) and value.kind != "maybe":
            return truth(" || ".join(f"{value.operand} is {one}" for one in ("object", "array", "null")))
        if kind is None or kind[0] not in _KINDS:
            raise NotTranslated
        return truth(f"{value.operand} is {kind[0]}")


def _merged(parts: list[Value]) -> list[Value]:
    """The parts with texts that stand side by side as one, and no empty ones."""
    found: list[Value] = []
    for one in parts:
        text = one.constant[0] if one.kind == "text" and one.constant else None
        last = found[-1].constant if found else None
        if text is not None and last is not None and isinstance(last[0], str):
            found[-1] = literal(last[0] + text)
        elif text != "":
            found.append(one)
    return found
