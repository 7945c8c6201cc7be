"""Values of Postman's scripts as expressions of ours, and the conditions that JavaScript asks of them.

What is translated means the same or fails loudly: a part that is not there is an error here and `undefined` in JavaScript.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from application.importing.text import member, quoted, value_literal
from domain.values import dataclass

FALSY = "[null, false, 0, '']"


class NotTranslated(ValueError):
    """A form that has no counterpart, or none that means the same."""


@dataclass(frozen=True, slots=True)
class Value:
    """An expression of ours. `kind` is text, number, boolean, array, object, maybe (null for what is not there), named (a
    variable or header, which may not be there), undefined, or empty when it is not known; `owner` and `key` say of what it
    is a part."""

    text: str
    kind: str = ""
    simple: bool = True
    owner: str = ""
    key: str | int | None = None
    constant: tuple[Any] | None = None

    @property
    def operand(self) -> str:
        """The text as a part of a larger expression."""
        return self.text if self.simple else f"({self.text})"

    def as_simple(self) -> Value:
        """The same, as one that needs no brackets."""
        return replace(self, simple=True)

    @property
    def compound(self) -> bool:
        """Whether it is a literal of a list or object, which is never the same as another in JavaScript."""
        return self.constant is not None and isinstance(self.constant[0], list | dict)


def literal(value: Any) -> Value:
    """A literal."""
    kinds = {str: "text", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}
    return Value(value_literal(value), kinds.get(type(value), ""), constant=(value,))


def truth(text: str) -> Value:
    """A comparison or the like."""
    return Value(text, "boolean", simple=False)


def negation(value: Value) -> Value:
    """The opposite of a truth."""
    return truth(f"not ({value.text})")


def truthy(value: Value) -> Value:
    """Whether JavaScript takes a value for true."""
    if value.kind == "boolean":
        return value
    if value.kind == "named":
        return truth(f"{value.text} exists && {value.text} not in {FALSY}")
    if value.kind in ("array", "object", "undefined"):
        raise NotTranslated
    return truth(f"{value.operand} not in {FALSY}")


def falsy(value: Value) -> Value:
    """Whether JavaScript takes a value for false: what is not there, too."""
    if value.kind == "boolean":
        return negation(value)
    if value.kind == "named":
        return truth(f"{value.text} not exists || {value.text} in {FALSY}")
    if value.kind in ("array", "object", "undefined"):
        raise NotTranslated
    if value.key is not None:
        return truth(f"{undefined(value).text} || {value.text} in {FALSY}")
    return truth(f"{value.operand} in {FALSY}")


def undefined(value: Value) -> Value:
    """Whether a part is not there. A part that is there and null is not undefined."""
    if value.kind == "named":
        return truth(f"{value.text} not exists")
    if isinstance(value.key, int):
        return truth(f"len({value.owner}) <= {value.key}")
    if value.key is None:
        raise NotTranslated
    return truth(f"{quoted(value.key)} not in keys({value.owner})")


def present(value: Value) -> Value:
    """Whether a part is there, null or not."""
    if value.kind == "named":
        return truth(f"{value.text} exists")
    if isinstance(value.key, int):
        return truth(f"len({value.owner}) > {value.key}")
    if value.key is None:
        raise NotTranslated
    return truth(f"{quoted(value.key)} in keys({value.owner})")


def null(value: Value, negated: bool = False) -> Value:
    """Whether a part is null, and not only not there."""
    if value.kind == "maybe":
        raise NotTranslated
    return truth(f"{value.operand} is {'not ' if negated else ''}null")


def missing(value: Value) -> Value:
    """Whether a part is not there or null."""
    if value.kind == "named":
        return truth(f"{value.text} not exists")
    if value.key is not None:
        return truth(f"{undefined(value).text} || {value.text} is null")
    return truth(f"{value.operand} is null")


def there(value: Value) -> Value:
    """Whether a part is there and not null."""
    return truth(f"{value.text} exists" if value.kind == "named" else f"{value.operand} is not null")


def loosely(left: Value, right: Value, same: bool) -> Value:
    """`==` of JavaScript, which takes `7` and `"7"` for equal; not other spellings, such as `"07"`."""
    equal, among = ("==", "in") if same else ("!=", "not in")
    if left.kind == right.kind != "" and left.kind != "named":
        return truth(f"{left.operand} {equal} {right.operand}")
    found = right.constant[0] if right.constant is not None else None
    if isinstance(found, bool):
        return truth(f"{left.operand} {among} [{right.text}, {int(found)}, '{int(found)}']")
    if isinstance(found, int | float):
        more = ", '', false" if found == 0 else ", true" if found == 1 else ""
        return truth(f"{left.operand} {among} [{right.text}, {quoted(right.text)}{more}]")
    if isinstance(found, str) and not any(character.isdigit() for character in found) and found.strip():
        return truth(f"{left.operand} {equal} {right.operand}")
    return truth(f"string({left.text}) {equal} string({right.text})")


def part(owner: Value, key: str | int) -> Value:
    """A part of a value."""
    return Value(member(owner.operand, key), owner=owner.operand, key=key)


def nested(owner: Value, path: str) -> tuple[Value, Value, Value]:
    """The part at the end of a path as `a.b[0].c`; whether it is there; and whether it is not, parts before it included."""
    if "\\" in path:
        raise NotTranslated
    *before, last = [int(one) if one.isdecimal() else one for one in re.findall(r"[^.\[\]]+", path)] or [""]
    if isinstance(last, int) or last == "length":
        raise NotTranslated
    holder, maybe = owner, owner.operand
    for key in before:
        holder = part(holder, key)
        maybe = f"{maybe}?.{key}" if isinstance(key, str) and key.isidentifier() else f"{maybe}?.[{value_literal(key)}]"
    found = part(holder, last)
    lacks = truth(f"{quoted(last)} not in keys({maybe} ?? {{}})") if before else undefined(found)
    return found, present(found), lacks
