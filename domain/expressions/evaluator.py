"""Expressions parsed once and kept: their values, and the explanation of a value by its parts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

from domain.expressions import syntax as s
from domain.expressions.compiler import Compiler
from domain.expressions.errors import ExpressionError, Fault
from domain.expressions.frame import Code, Frame
from domain.expressions.parser import parse_tree
from domain.expressions.scope import Scope
from domain.values import dataclass


class Expression:
    """A parsed expression."""

    __slots__ = ("_code", "_names", "_traced", "text", "tree")

    def __init__(self, text: str, tree: s.Node) -> None:
        self.text = text
        self.tree = tree
        self._code: Code | None = None
        self._traced: Code | None = None
        self._names: frozenset[str] | None = None

    def names(self) -> frozenset[str]:
        """The root names that it reads."""
        if self._names is None:
            self._names = s.free_names(self.tree)
        return self._names

    def value(self, scope: Scope) -> Any:
        """Its value; ExpressionError when it has none."""
        if self._code is None:
            self._code = Compiler(self.text).compile(self.tree)
        return _run(self._code, Frame(scope, self.text))

    def traced(self, frame: Frame) -> Any:
        """Its value, with the values of its parts kept in the frame."""
        if self._traced is None:
            self._traced = Compiler(self.text, trace=True).compile(self.tree)
        return _run(self._traced, frame)


def _run(code: Code, frame: Frame) -> Any:
    try:
        return code(frame)
    except Fault as fault:
        raise fault.at(0, frame.text) from None
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", 0, frame.text, None, "limit") from None


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """The expression of a text, parsed once. ExpressionError says what is wrong and where."""
    return Expression(text, parse_tree(text))


def evaluate(expression: Expression | str, scope: Scope) -> Any:
    """The value of an expression."""
    return (parse(expression) if isinstance(expression, str) else expression).value(scope)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A value and what it was made of: (source text, value) of the parts in source order; for a comparison, both sides."""

    MISSING: ClassVar[object] = object()
    value: Any = None
    error: ExpressionError | None = None
    values: tuple[tuple[str, Any], ...] = ()
    expected: Any = MISSING
    actual: Any = MISSING
    operator: str = ""
    notes: tuple[str, ...] = ()
    """What functions say about their answers, such as where a value does not fit a schema."""


def explain(expression: Expression | str, scope: Scope) -> Explanation:
    """The value of an expression with the values of its parts. Only syntax errors are raised."""
    parsed = parse(expression) if isinstance(expression, str) else expression
    frame = Frame(scope, parsed.text)
    value, error = None, None
    try:
        value = parsed.traced(frame)
    except ExpressionError as caught:
        error = caught
    actual, expected = _sides(parsed.tree, frame)
    operator = _operator(parsed.tree)
    notes = (*frame.notes, *_other_kind(operator, expected, actual))
    return Explanation(value, error, tuple(_parts(parsed, frame)), expected, actual, operator, notes)


def _parts(parsed: Expression, frame: Frame) -> list[tuple[str, Any]]:
    """Names, paths and calls that were evaluated; the inside of a path is not listed again."""
    found: dict[str, Any] = {}
    pending = [parsed.tree]
    while pending:
        node = pending.pop()
        seen = (node.start, node.end) in frame.trace
        listed = isinstance(node, s.Index | s.Name | s.Defaulted | s.Call | s.Query | s.Slice | s.Root)
        if listed and seen and node is not parsed.tree:
            found.setdefault(parsed.text[node.start : node.end], frame.trace[node.start, node.end])
        if isinstance(node, s.Predicate) or (listed and seen and not isinstance(node, s.Call)):
            continue
        pending.extend(reversed(node.children()))
    return list(found.items())


def _sides(tree: s.Node, frame: Frame) -> tuple[Any, Any]:
    if not isinstance(tree, s.Binary) or tree.operator not in s.COMPARISONS:
        return Explanation.MISSING, Explanation.MISSING
    return _seen(tree.left, frame), _seen(tree.right, frame)


def _operator(tree: s.Node) -> str:
    if not isinstance(tree, s.Binary) or tree.operator not in s.COMPARISONS:
        return ""
    return f"not {tree.operator}" if tree.negated else tree.operator


def _other_kind(operator: str, *sides: Any) -> tuple[str, ...]:
    """That two values look the same and are not of the same kind."""
    texts, others = [side for side in sides if isinstance(side, str)], [side for side in sides if isinstance(side, int | float)]
    if operator != "==" or not texts or not others:
        return ()
    text, other = texts[0].strip(), others[0]
    if isinstance(other, bool):
        return ("one is a text, the other true or false: write bool(...)",) if text == str(other).lower() else ()
    try:
        same = float(text) == other
    except (ValueError, OverflowError):
        return ()
    function = "int" if isinstance(other, int) else "float"
    return (f"one is a text, the other a number: write {function}(...)",) if same else ()


def _seen(node: s.Node, frame: Frame) -> Any:
    if isinstance(node, s.Constant):
        return node.value
    return frame.trace.get((node.start, node.end), Explanation.MISSING)
