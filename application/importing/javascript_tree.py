"""Expressions of JavaScript as trees: what the reader makes and translators look at."""

from __future__ import annotations

from domain.values import dataclass


class Node:
    """A part of an expression."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A text, number, truth or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable; `undefined` too."""

    name: str


@dataclass(frozen=True, slots=True)
class Pattern(Node):
    """A regular expression."""

    source: str
    flags: str


@dataclass(frozen=True, slots=True)
class Texts(Node):
    """A template literal: its texts and expressions in order."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Items(Node):
    """An array."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries(Node):
    """An object."""

    entries: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`object.name` or `object[key]`."""

    object: Node
    key: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(arguments)`; `new X(...)` calls the name `new X`."""

    function: Node
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Arrow(Node):
    """A function of one or more names. `block` is the text between its braces, where it has them."""

    parameters: tuple[str, ...]
    body: Node | None
    block: str = ""


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """An operator with one, two or three (`?`) operands."""

    operator: str
    operands: tuple[Node, ...]


def spelled(node: Node) -> str:
    """`a.b.c()` as it is usually written; empty for what is no chain of names and calls without arguments."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Member) and isinstance(node.key, Constant) and isinstance(node.key.value, str):
        before = spelled(node.object)
        return f"{before}.{node.key.value}" if before else ""
    if isinstance(node, Call) and not node.arguments:
        before = spelled(node.function)
        return f"{before}()" if before else ""
    return ""


def plain(node: Node) -> tuple[object] | None:
    """The value of a literal without variables, in a tuple; None for all else."""
    if isinstance(node, Constant):
        return (node.value,)
    if isinstance(node, Operation) and node.operator == "-" and len(node.operands) == 1:
        inner = plain(node.operands[0])
        return (-inner[0],) if inner and isinstance(inner[0], int | float) and not isinstance(inner[0], bool) else None
    if isinstance(node, Items):
        items = [plain(item) for item in node.items]
        return ([item[0] for item in items if item],) if None not in items else None
    if isinstance(node, Entries):
        values = {key: plain(value) for key, value in node.entries}
        return ({key: value[0] for key, value in values.items() if value},) if None not in values.values() else None
    return None
