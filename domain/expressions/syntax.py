"""The syntax tree of an expression: nodes that know where they stand in the source text, and never change.

They have no equality and no text of their own: what is not generated need not be compiled at every start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from domain.values import dataclass


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """A part of an expression, from character `start` up to `end`."""

    start: int
    end: int

    def children(self) -> tuple[Node, ...]:
        """The nodes directly below, in source order."""
        return ()


@dataclass(slots=True, eq=False, repr=False)
class Constant(Node):
    """A literal number, string, boolean or null."""

    value: Any


@dataclass(slots=True, eq=False, repr=False)
class Name(Node):
    """A name to be looked up in the scope; `local` when a `let` around it defines it."""

    name: str
    local: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Defaulted(Node):
    """`${NAME:text}`: the value of a name, or a text when it is not defined."""

    name: str
    default: str


@dataclass(slots=True, eq=False, repr=False)
class Element(Node):
    """`#`, `#index` or `#acc` inside a predicate."""

    which: Literal["item", "index", "acc"]


@dataclass(slots=True, eq=False, repr=False)
class Root(Node):
    """`$`: the body of the step's result, or the result."""


@dataclass(slots=True, eq=False, repr=False)
class Query(Node):
    """A JSONPath (RFC 9535) that may select several values."""

    query: str


@dataclass(slots=True, eq=False, repr=False)
class Items(Node):
    """A list literal."""

    items: tuple[Node, ...]

    def children(self) -> tuple[Node, ...]:
        return self.items


@dataclass(slots=True, eq=False, repr=False)
class Entries(Node):
    """A map literal."""

    entries: tuple[tuple[Node, Node], ...]

    def children(self) -> tuple[Node, ...]:
        return tuple(node for entry in self.entries for node in entry)


@dataclass(slots=True, eq=False, repr=False)
class Joined(Node):
    """A string with templates in it: the text of its parts, one after another."""

    parts: tuple[Node, ...]

    def children(self) -> tuple[Node, ...]:
        return self.parts


@dataclass(slots=True, eq=False, repr=False)
class Index(Node):
    """`object.name`, `object[key]`, and with `optional` `object?.name`. `place` is where the key stands."""

    object: Node
    key: Node
    optional: bool
    place: int

    def children(self) -> tuple[Node, ...]:
        return (self.object, self.key)


@dataclass(slots=True, eq=False, repr=False)
class Slice(Node):
    """`object[low:high]`."""

    object: Node
    low: Node | None
    high: Node | None

    def children(self) -> tuple[Node, ...]:
        return tuple(node for node in (self.object, self.low, self.high) if node is not None)


@dataclass(slots=True, eq=False, repr=False)
class Unary(Node):
    """`!x`, `-x`, `+x`."""

    operator: str
    operand: Node

    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(slots=True, eq=False, repr=False)
class Binary(Node):
    """An operator between two operands; `negated` for `not in` and the like. `place` is where the operator stands."""

    operator: str
    left: Node
    right: Node
    place: int
    negated: bool = False

    def children(self) -> tuple[Node, ...]:
        return (self.left, self.right)


@dataclass(slots=True, eq=False, repr=False)
class Conditional(Node):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node

    def children(self) -> tuple[Node, ...]:
        return (self.condition, self.yes, self.no)


@dataclass(slots=True, eq=False, repr=False)
class Test(Node):
    """`x is [not] string`, `x [not] exists`."""

    operand: Node
    test: str
    negated: bool

    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(slots=True, eq=False, repr=False)
class Predicate(Node):
    """An expression evaluated for each element of a list."""

    body: Node

    def children(self) -> tuple[Node, ...]:
        return (self.body,)


@dataclass(slots=True, eq=False, repr=False)
class Call(Node):
    """A call of a listed function; a method call has its object as first argument."""

    function: str
    arguments: tuple[Node, ...]

    def children(self) -> tuple[Node, ...]:
        return self.arguments


@dataclass(slots=True, eq=False, repr=False)
class Let(Node):
    """`let name = value; body`."""

    name: str
    value: Node
    body: Node

    def children(self) -> tuple[Node, ...]:
        return (self.value, self.body)


COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches"})


def walk(node: Node) -> Iterator[Node]:
    """Every node of a tree, without recursion."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(node.children()))


def height(node: Node) -> int:
    """How many nodes the longest way from the root to a leaf has."""
    highest, level = 0, [node]
    while level:
        highest += 1
        level = [child for parent in level for child in parent.children()]
    return highest


def free_names(node: Node) -> frozenset[str]:
    """The root names that a tree reads from its scope."""
    names: set[str] = set()
    for part in walk(node):
        if (isinstance(part, Name) and not part.local) or isinstance(part, Defaulted):
            names.add(part.name)
    return frozenset(names)


def is_headers(node: Node) -> bool:
    """Whether a node names HTTP headers, whose names match in any case."""
    if isinstance(node, Index):
        node = node.key
    if isinstance(node, Constant):
        return bool(node.value == "headers")
    return isinstance(node, Name) and node.name == "headers"
