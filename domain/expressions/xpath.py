"""The function `xpath`: XPath 1.0 over XML and HTML, every node that is looked at paid from the budget of the evaluation.

A name without a prefix means elements and attributes of that local name in any namespace, one with a prefix those that are
written so; namespace-uri(), id() and lang() are not there. Source: W3C, XML Path Language 1.0.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, kind_of
from domain.expressions.markup import Node, parse
from domain.expressions.xpath_syntax import Binary, Call, Expression, Literal, Negative, Route, Step, parse_xpath

Value = str | float | bool | list[Node]
_SHARE = 4
"""Nodes that are looked at for one step of the budget."""
_TEXT_SHARE = 512
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def xpath(frame: Frame, text: Any, query: Any) -> Any:
    """What the query finds: a text, a number, a truth, or the list of the texts of all nodes in document order."""
    for value, what in ((text, "the document"), (query, "the query")):
        if not isinstance(value, str):
            raise Fault("type", f"xpath takes texts, and {what} is {kind_of(value)}", "text is the body of an answer as text")
    tree = parse_xpath(query)
    frame.charge(len(text) // _TEXT_SHARE)
    root = parse(text)
    return _plain(_Query(frame).value(tree, _At(root, 1, 1)))


def _plain(value: Value) -> Any:
    if isinstance(value, list):
        return [node.text() for node in value]
    if isinstance(value, float) and not isinstance(value, bool):
        return None if math.isnan(value) or math.isinf(value) else int(value) if value.is_integer() else value
    return value


@dataclass(frozen=True, slots=True)
class _At:
    """The node that is looked at, its place among those that are, and how many these are."""

    node: Node
    place: int
    size: int


class _Query:
    """Evaluates a tree; Fault of kind limit when the budget is spent."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._seen = 0

    def value(self, tree: Expression, at: _At) -> Value:
        """The value of an expression where it stands."""
        self._look()
        if isinstance(tree, Literal):
            return tree.value
        if isinstance(tree, Route):
            return self._route(tree, at)
        if isinstance(tree, Negative):
            return -self._number(self.value(tree.value, at))
        if isinstance(tree, Call):
            return self._call(tree, at)
        return self._binary(tree, at)

    def _look(self) -> None:
        self._seen += 1
        if self._seen % _SHARE == 0:
            self._frame.charge(1)

    def _text(self, value: Value) -> str:
        """As string() does."""
        if isinstance(value, list):
            value = self._text_of(value[0]) if value else ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            if math.isnan(value) or math.isinf(value):
                return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            return str(int(value)) if value.is_integer() else repr(value)
        return value

    def _text_of(self, node: Node) -> str:
        if node.kind in ("root", "element"):
            for _ in node.below():
                self._look()
        text = node.text()
        self._frame.charge(len(text) // _TEXT_SHARE)
        return text

    def _number(self, value: Value) -> float:
        """As number() does."""
        if isinstance(value, bool):
            return 1.0 if value else 0.0
        if isinstance(value, float):
            return value
        text = self._text(value).strip(" \t\r\n")
        return float(text) if re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)", text) and len(text) < 400 else math.nan

    def _truth(self, value: Value) -> bool:
        if isinstance(value, float) and not isinstance(value, bool):
            return value != 0 and not math.isnan(value)
        return bool(value)

    def _nodes(self, value: Value, what: str) -> list[Node]:
        if not isinstance(value, list):
            raise Fault("type", f"{what} of an XPath takes nodes", "such as //a or .//p")
        return value

    def _binary(self, tree: Binary, at: _At) -> Value:
        left = self.value(tree.left, at)
        if tree.operator in ("and", "or"):
            known = self._truth(left)
            return known if known == (tree.operator == "or") else self._truth(self.value(tree.right, at))
        right = self.value(tree.right, at)
        if tree.operator == "|":
            return _ordered([*self._nodes(left, "|"), *self._nodes(right, "|")])
        if tree.operator in _COMPARED:
            return self._compared(tree.operator, left, right)
        return _computed(tree.operator, self._number(left), self._number(right))

    def _compared(self, name: str, left: Value, right: Value) -> bool:
        """A list of nodes holds where one of its nodes does (XPath 1.0, 3.4)."""
        compare = _COMPARED[name]
        if isinstance(left, bool) or isinstance(right, bool):
            if name in ("=", "!="):
                return compare(self._truth(left), self._truth(right))
            sides = (self._truth(side) if isinstance(side, list) else side for side in (left, right))
            return compare(*map(self._number, sides))
        if not isinstance(left, list) and not isinstance(right, list):
            return self._one(name, left, right)
        lefts = [self._text_of(node) for node in left] if isinstance(left, list) else [left]
        rights = [self._text_of(node) for node in right] if isinstance(right, list) else [right]
        for one in lefts:
            for other in rights:
                self._look()
                if self._one(name, one, other):
                    return True
        return False

    def _one(self, name: str, left: Value, right: Value) -> bool:
        if name in ("=", "!=") and isinstance(left, str) and isinstance(right, str):
            return _COMPARED[name](left, right)
        return _COMPARED[name](self._number(left), self._number(right))

    def _route(self, route: Route, at: _At) -> Value:
        if route.start is not None:
            nodes = self._nodes(self.value(route.start, at), "a path")
            for predicate in route.predicates:
                nodes = self._kept(nodes, predicate)
        else:
            nodes = [_root_of(at.node) if route.absolute else at.node]
        for step in route.steps:
            nodes = self._step(nodes, step)
        return nodes

    def _step(self, nodes: list[Node], step: Step) -> list[Node]:
        found: list[Node] = []
        for node in nodes:
            chosen = [one for one in self._along(node, step.axis) if _fits(one, step)]
            for predicate in step.predicates:
                chosen = self._kept(chosen, predicate)
            found += chosen
        return _ordered(found) if len(nodes) > 1 or step.axis in _BACKWARDS else found

    def _along(self, node: Node, axis: str) -> Iterator[Node]:
        for one in _AXES[axis](node):
            self._look()
            yield one

    def _kept(self, nodes: list[Node], predicate: Expression) -> list[Node]:
        """Those for which the predicate holds; a number is a place."""
        kept = []
        for place, node in enumerate(nodes, 1):
            value = self.value(predicate, _At(node, place, len(nodes)))
            is_place = isinstance(value, float) and not isinstance(value, bool)
            if (value == place) if is_place else self._truth(value):
                kept.append(node)
        return kept

    def _call(self, call: Call, at: _At) -> Value:
        return _FUNCTIONS[call.name](self, at, [self.value(argument, at) for argument in call.arguments])


def _computed(name: str, left: float, right: float) -> float:
    if name in ("+", "-", "*op"):
        return left + right if name == "+" else left - right if name == "-" else left * right
    if right == 0 or math.isnan(left) or math.isnan(right) or math.isinf(left):
        nothing = name == "mod" or left == 0 or math.isnan(left) or math.isnan(right)
        return math.nan if nothing else math.copysign(math.inf, left) * math.copysign(1, right)
    return math.fmod(left, right) if name == "mod" else left / right


def _root_of(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


def _ordered(nodes: list[Node]) -> list[Node]:
    """Each once, in document order."""
    return sorted(dict.fromkeys(nodes), key=lambda node: node.order)


def _fits(node: Node, step: Step) -> bool:
    test = step.test
    if test.endswith("()"):
        return test == "node()" or node.kind == {"text()": "text", "comment()": "comment"}.get(test, "instruction")
    if node.kind != ("attribute" if step.axis == "attribute" else "element"):
        return False
    if ":" in test:
        return node.name == test or (test.endswith(":*") and node.name.startswith(test[:-1]))
    return test in ("*", node.local)


def _above(node: Node) -> Iterator[Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _beside(node: Node, *, after: bool) -> list[Node]:
    """Siblings, the nearest first."""
    if node.parent is None or node.kind == "attribute":
        return []
    if after:
        return [one for one in node.parent.children if one.order > node.order]
    return [one for one in reversed(node.parent.children) if one.order < node.order]


def _following(node: Node) -> Iterator[Node]:
    for holder in (node, *_above(node)):
        for sibling in _beside(holder, after=True):
            yield sibling
            yield from sibling.below()


def _preceding(node: Node) -> Iterator[Node]:
    """What ended before the node began, the nearest first."""
    for holder in (node, *_above(node)):
        for sibling in _beside(holder, after=False):
            yield from reversed([sibling, *sibling.below()])


def _with_itself(axis: Callable[[Node], Iterator[Node]]) -> Callable[[Node], Iterator[Node]]:
    def along(node: Node) -> Iterator[Node]:
        yield node
        yield from axis(node)

    return along


_AXES: Mapping[str, Callable[[Node], Any]] = {
    "self": lambda node: (node,),
    "child": lambda node: node.children,
    "attribute": lambda node: node.attributes,
    "parent": lambda node: (node.parent,) if node.parent is not None else (),
    "descendant": Node.below,
    "descendant-or-self": _with_itself(Node.below),
    "ancestor": _above,
    "ancestor-or-self": _with_itself(_above),
    "following-sibling": lambda node: _beside(node, after=True),
    "preceding-sibling": lambda node: _beside(node, after=False),
    "following": _following,
    "preceding": _preceding,
}
_BACKWARDS = ("ancestor", "ancestor-or-self", "preceding-sibling", "preceding")

Function = Callable[[_Query, _At, list[Any]], Value]


def _of_text(function: Callable[..., Value]) -> Function:
    """A function of texts; without an argument, of the node that is looked at."""

    def call(query: _Query, at: _At, given: list[Any]) -> Value:
        return function(*[query._text(value) for value in (given or [[at.node]])])

    return call


def _name(attribute: str) -> Function:
    def call(query: _Query, at: _At, given: list[Any]) -> Value:
        nodes = query._nodes(given[0], "a name") if given else [at.node]
        return str(getattr(nodes[0], attribute)) if nodes else ""

    return call


def _substring(query: _Query, at: _At, given: list[Any]) -> Value:
    """Places count from 1 and are rounded; what is not a number is no place."""
    text, begin = query._text(given[0]), _rounded(query._number(given[1]))
    end = begin + _rounded(query._number(given[2])) if len(given) > 2 else math.inf
    return "".join(character for place, character in enumerate(text, 1) if begin <= place < end)


def _translate(text: str, wanted: str, instead: str) -> str:
    table: dict[int, str] = {}
    for place, character in enumerate(wanted):
        table.setdefault(ord(character), instead[place : place + 1])
    return text.translate(table)


def _rounded(number: float) -> float:
    return number if math.isnan(number) or math.isinf(number) else float(math.floor(number + 0.5))


def _of_number(function: Callable[[float], float]) -> Function:
    def call(query: _Query, at: _At, given: list[Any]) -> Value:
        number = query._number(given[0])
        return number if math.isnan(number) or math.isinf(number) else float(function(number))

    return call


def _sum(query: _Query, at: _At, given: list[Any]) -> Value:
    return float(sum(query._number(query._text_of(node)) for node in query._nodes(given[0], "sum()")))


_FUNCTIONS: Mapping[str, Function] = {
    "last": lambda query, at, given: float(at.size),
    "position": lambda query, at, given: float(at.place),
    "count": lambda query, at, given: float(len(query._nodes(given[0], "count()"))),
    "name": _name("name"),
    "local-name": _name("local"),
    "string": _of_text(lambda text: text),
    "concat": _of_text(lambda *texts: "".join(texts)),
    "starts-with": _of_text(lambda text, part: text.startswith(part)),
    "contains": _of_text(lambda text, part: part in text),
    "substring-before": _of_text(lambda text, part: text.partition(part)[0] if part and part in text else ""),
    "substring-after": _of_text(lambda text, part: text.partition(part)[2] if part else text),
    "substring": _substring,
    "string-length": _of_text(lambda text: float(len(text))),
    "normalize-space": _of_text(lambda text: " ".join(re.split(r"[ \t\r\n]+", text.strip(" \t\r\n")))),
    "translate": _of_text(_translate),
    "boolean": lambda query, at, given: query._truth(given[0]),
    "not": lambda query, at, given: not query._truth(given[0]),
    "true": lambda query, at, given: True,
    "false": lambda query, at, given: False,
    "number": lambda query, at, given: query._number(given[0] if given else [at.node]),
    "sum": _sum,
    "floor": _of_number(math.floor),
    "ceiling": _of_number(math.ceil),
    "round": _of_number(_rounded),
}
"""The functions by name; how many arguments each takes is known to the parser."""
