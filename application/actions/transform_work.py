"""What the operations of `transform` share: expressions and templates over items, bounded, and errors that name the item."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from application.engine.action import ActionContext
from domain.expressions import ExpressionError, is_template, parse
from domain.expressions.errors import Fault, did_you_mean
from domain.expressions.frame import kind_of
from domain.expressions.values import weigh

OfItem = Callable[[Any, int], Any]
"""What is made of an item and its index."""

_FIELD = re.compile(r"(?!item\b|index\b)([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\??)", re.ASCII)
_WHOLE = re.compile(r"\s*(?:\$\{(?P<a>[^{}]*)\}|\{\{(?P<b>[^{}]*)\}\})\s*")
_TURN = 0.02
_SHOWN = 80


class Wrong(Exception):
    """What an operation cannot do, with a remedy; the runner adds which operation it was."""

    def __init__(self, message: str, hint: str | None = None, kind: str = "transform") -> None:
        super().__init__(message)
        self.message, self.hint, self.kind = message, hint, kind


class Work:
    """One run. `saved` are the names that operations have kept; at most `limits.data_bytes` of new values are made."""

    def __init__(self, context: ActionContext) -> None:
        self._context = context
        self._left = context.limits.data_bytes
        self._since = time.monotonic()
        self.saved: dict[str, Any] = {}

    async def mapped(self, value: Any, function: OfItem) -> list[Any]:
        """What the function makes of every item; other work gets its turn meanwhile."""
        import asyncio  # loaded when first used: validating needs none

        made = []
        for index, item in enumerate(self.listed(value)):
            if time.monotonic() - self._since > _TURN:
                await asyncio.sleep(0)
                self._since = time.monotonic()
            with _at(index, item):
                made.append(function(item, index))
        return made

    def listed(self, value: Any) -> list[Any]:
        """The value, if it is a list that is not too long."""
        if not isinstance(value, list | tuple):
            raise Wrong(f"it works on a list, not on {kind_of(value)}", "extract a list first")
        self.counted(len(value))
        return list(value)

    def counted(self, number: int) -> None:
        """Refuse more items than are allowed."""
        most = self._context.limits.rows
        if number > most:
            raise Wrong(f"there are more than {most:,} items", "filter them first", "limit")

    def made(self, value: Any) -> Any:
        """The value, its size taken from what may be made."""
        self.charge(weigh(value))
        return value

    def charge(self, size: int) -> None:
        """Take bytes from what may be made."""
        self._left -= size
        if self._left < 0:
            raise Wrong(f"more than {self._context.limits.data_bytes:,} bytes would be made", "filter or pick first", "limit")

    def rendered(self, value: Any, item: Any = None, index: int = 0) -> Any:
        """The value with its templates resolved over `item`, `index` and the names kept."""
        return self._context.render(value, {**self.saved, "item": item, "index": index})

    def expression(self, given: Any, what: str) -> OfItem:
        """The value of an expression over `item` (`#`, `.field`), `index` and the names kept."""
        if isinstance(given, bool | int | float):
            return lambda item, index: given
        if not isinstance(given, str) or not given.strip():
            raise Wrong(f"{what} must be an expression", "for example item.price * 2", "config")
        text = _bare(given)
        in_predicate = _only_in_predicate(text)

        def look(item: Any, index: int) -> Any:
            names = {**self.saved, "item": item, "index": index}
            if not in_predicate:
                return self._context.evaluate(text, names)
            return self._context.evaluate(f"map([item], {text})", names)[0]

        return look

    def by(self, given: Any, what: str) -> OfItem:
        """A field of the item by its name or dotted path (`name?` may be missing), or else an expression; true is the item."""
        if given is True:
            return lambda item, index: item
        found = _FIELD.fullmatch(given.strip()) if isinstance(given, str) else None
        if found is None:
            return self.expression(given, what)
        parts, optional = found[1].split("."), bool(found[2])
        return lambda item, index: field_of(item, parts, optional)


def checkable(text: str, *, by: bool) -> str | None:
    """What of an expression over items can be looked at before the run: itself, or how it stands in a predicate; None for a
    template, and for what `by` a field is."""
    if is_template(text) or (by and _FIELD.fullmatch(text.strip())):
        return None
    try:
        return f"map([item], {text})" if _only_in_predicate(text) else text
    except Wrong:
        return None


def field_of(item: Any, parts: list[str], optional: bool) -> Any:
    """The value at a path of names; null where it is missing and may be."""
    for part in parts:
        if optional and (item is None or (isinstance(item, Mapping) and part not in item)):
            return None
        if not isinstance(item, Mapping):
            raise Wrong(f"{'.'.join(parts)}: {kind_of(item)} has no fields")
        if part not in item:
            hint = did_you_mean(part, map(str, item)) or f"write {'.'.join(parts)}? where it may be missing"
            raise Wrong(f"there is no field {part!r}", hint)
        item = item[part]
    return item


def told(error: ExpressionError) -> Wrong:
    """The error of an expression, with the expression."""
    where = f" in `{error.text[:200]}`" if error.text else ""
    hint = error.hint
    if error.kind == "name" and hint is None:
        hint = "fields of an item are item.name"
    return Wrong(f"{error.message}{where}", hint, "limit" if error.kind == "limit" else "expression")


@contextmanager
def _at(index: int, item: Any) -> Iterator[None]:
    try:
        yield
    except (ExpressionError, Fault, Wrong) as error:
        wrong = error if isinstance(error, Wrong) else told(error if isinstance(error, ExpressionError) else error.at(0, ""))
        shown = repr(item)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        raise Wrong(f"item [{index}]: {wrong.message}; it is {shown}", wrong.hint, wrong.kind) from None


def _bare(text: str) -> str:
    """An expression may be written bare or as one whole template."""
    found = _WHOLE.fullmatch(text)
    return (found["a"] or found["b"] or "").strip() if found else text.strip()


def _only_in_predicate(text: str) -> bool:
    """Whether the text says `#` or `.field` of the item, which have a meaning inside of predicates alone."""
    if "#" not in text and "." not in text:
        return False
    try:
        parse(text)
        return False
    except ExpressionError:
        pass
    try:
        parse(f"map([item], {text})")
    except ExpressionError:
        return False
    if "#index" in text:
        raise Wrong("#index is known to functions such as map alone", "write index", "config")
    return True
