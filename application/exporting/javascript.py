"""Assertions and outputs as Postman's scripts: the forms that chai has too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from domain.expressions import ExpressionError, parse
from domain.expressions import syntax as s

_ROOTS = {
    "body": "pm.response.json()",
    "text": "pm.response.text()",
    "status": "pm.response.code",
    "time": "pm.response.responseTime",
    "size": "pm.response.responseSize",
}
_CHAIN = {
    "==": "to.eql", "!=": "to.not.eql", ">": "to.be.above", ">=": "to.be.at.least", "<": "to.be.below", "<=": "to.be.at.most",
    "contains": "to.include",
}  # fmt: skip
_KINDS = {"string": "string", "number": "number", "boolean": "boolean", "array": "array", "object": "object"}
_NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def test_lines(expression: str, message: str | None) -> list[str]:
    """A `pm.test` for an assertion, or a comment when Postman has no form for it."""
    found = list(_asserted(expression))
    if not found:
        return [f"// Not translated: {line}" for line in expression.splitlines()]
    name = json.dumps(message or expression, ensure_ascii=False)
    return [f"pm.test({name}, function () {{", *(f"    {line}" for line in found), "});"]


def set_line(name: str, path: str) -> str:
    """The line that keeps an output, or a comment."""
    text = path.strip().removesuffix("?")
    text = "body" + text[1:] if text.startswith(("$.", "$[")) else text
    value = expression_text(text)
    if value is None:
        return f"// Not translated: {name} = {' '.join(path.split())}"
    return f"pm.collectionVariables.set({json.dumps(name)}, {value});"


def expression_text(text: str) -> str | None:
    """An expression of ours in JavaScript; None when it has no simple form."""
    try:
        return _value(parse(text).tree)
    except ExpressionError:
        return None


def _asserted(expression: str) -> Iterator[str]:
    try:
        tree = parse(expression).tree
    except ExpressionError:
        return
    lines = _lines(tree)
    yield from lines or ()


def _lines(node: s.Node) -> list[str] | None:
    if isinstance(node, s.Binary) and node.operator == "||" and _is_list(node.left) and _is_lack(node.right):
        return _lines(node.right)
    if isinstance(node, s.Binary):
        return _binary(node)
    if isinstance(node, s.Test):
        return _test(node)
    if isinstance(node, s.Call) and node.function == "bool" and (value := _value(node.arguments[0])):
        return [f"pm.expect({value}).to.be.ok;"]
    return None


def _is_list(node: s.Node) -> bool:
    """`body is array`."""
    return isinstance(node, s.Test) and node.test == "array" and _value(node.operand) == _ROOTS["body"] and not node.negated


def _is_lack(node: s.Node) -> bool:
    """`x not in keys(...)`, which chai asks of a list too: a list has no such property."""
    return isinstance(node, s.Binary) and node.operator == "in" and node.negated and _argument(node.right, "keys") is not None


def _binary(node: s.Binary) -> list[str] | None:
    if node.operator == "&&":
        left, right = _lines(node.left), _lines(node.right)
        return [*left, *right] if left and right else None
    if node.operator == "matches" and isinstance(node.right, s.Constant):
        value, pattern = _value(node.left), _pattern(node.right.value)
        negation = "not." if node.negated else ""
        return [f"pm.expect({value}).to.{negation}match({pattern});"] if value and pattern else None
    if (contents := _contents(node)) is not None:
        return [contents]
    left_value, right_value = _value(node.left), _value(node.right)
    if left_value is None or right_value is None:
        return None
    if node.operator == "==" and left_value == _ROOTS["status"] and isinstance(node.right, s.Constant):
        return [f"pm.response.to.have.status({right_value});"]
    if node.operator == "in":
        negation = "not." if node.negated else ""
        return [f"pm.expect({left_value}).to.{negation}be.oneOf({right_value});"]
    chain = _CHAIN.get(node.operator)
    if chain is None:
        return None
    chain = chain.replace("to.", "to.not.", 1) if node.negated else chain
    return [f"pm.expect({left_value}).{chain}({right_value});"]


def _contents(node: s.Binary) -> str | None:
    """What is said of keys and of elements in any order: `x in keys(y)`, `sort(keys(y)) == [...]`, `sort(y) == [...]`."""
    negation = "not." if node.negated else ""
    if node.operator == "in" and (owner := _argument(node.right, "keys")) is not None:
        subject, key = _value(owner), _value(node.left)
        return f"pm.expect({subject}).to.{negation}have.property({key});" if subject and key else None
    listed = _argument(node.left, "sort")
    if node.operator != "==" or listed is None or not isinstance(node.right, s.Items):
        return None
    owner = _argument(listed, "keys")
    subject, items = _value(owner if owner is not None else listed), _value(node.right)
    kind = "all.keys" if owner is not None else "members"
    return f"pm.expect({subject}).to.have.{kind}({items});" if subject and items else None


def _argument(node: s.Node, function: str) -> s.Node | None:
    """The one argument of a call of this function."""
    found = isinstance(node, s.Call) and node.function == function and len(node.arguments) == 1
    return node.arguments[0] if found and isinstance(node, s.Call) else None


def _test(node: s.Test) -> list[str] | None:
    value = _value(node.operand)
    if value is None:
        return None
    negation = "not." if node.negated else ""
    if node.test == "exists":
        return [f"pm.expect({value}).to.{negation}exist;"]
    if node.test in ("null", "empty"):
        return [f"pm.expect({value}).to.{negation}be.{node.test};"]
    if node.test == "integer" and not node.negated:
        return [f"pm.expect({value}).to.satisfy(Number.isInteger);"]
    return [f"pm.expect({value}).to.{negation}be.a({json.dumps(_KINDS[node.test])});"] if node.test in _KINDS else None


def _value(node: s.Node) -> str | None:
    if isinstance(node, s.Constant):
        return json.dumps(node.value, ensure_ascii=False)
    if isinstance(node, s.Root):
        return _ROOTS["body"]
    if isinstance(node, s.Name):
        return _ROOTS.get(node.name) or (None if node.name in _OTHERS else f"pm.variables.get({json.dumps(node.name)})")
    if isinstance(node, s.Items):
        items = [_value(item) for item in node.items]
        return f"[{', '.join(item for item in items if item is not None)}]" if None not in items else None
    if isinstance(node, s.Entries):
        pairs = [(_value(key), _value(item)) for key, item in node.entries]
        return (
            "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}" if all(None not in pair for pair in pairs) else None
        )
    if isinstance(node, s.Unary) and node.operator == "-":
        inner = _value(node.operand)
        return f"-{inner}" if inner else None
    if isinstance(node, s.Call) and node.function == "len":
        inner = _value(node.arguments[0])
        return f"{inner}.length" if inner else None
    return _member(node) if isinstance(node, s.Index) else None


_OTHERS = frozenset(
    {"headers", "cookies", "response", "result", "url", "timings", "error", "http_version", "truncated", "sha256"}
)


def _member(node: s.Index) -> str | None:
    if isinstance(node.object, s.Name) and node.object.name in ("headers", "cookies") and isinstance(node.key, s.Constant):
        return f"pm.{'response.' if node.object.name == 'headers' else ''}{node.object.name}.get({json.dumps(node.key.value)})"
    if isinstance(node.object, s.Name) and node.object.name in ("response", "result") and isinstance(node.key, s.Constant):
        return _ROOTS.get(str(node.key.value))
    inner = _value(node.object)
    if inner is None or not isinstance(node.key, s.Constant):
        return None
    key: Any = node.key.value
    if isinstance(key, str) and _NAME.fullmatch(key):
        return f"{inner}.{key}"
    return (
        f"{inner}[{json.dumps(key, ensure_ascii=False)}]"
        if isinstance(key, str) or (isinstance(key, int) and key >= 0)
        else None
    )


def _pattern(text: Any) -> str | None:
    if not isinstance(text, str) or not text or "\n" in text:
        return None
    flags = re.match(r"\(\?([ims]+)\)", text)
    body = text[flags.end() :] if flags else text
    escaped = re.sub(r"(?<!\\)/", r"\/", body)
    return f"/{escaped}/{flags[1] if flags else ''}"
