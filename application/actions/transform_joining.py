"""The operation `join` of `transform`: texts to one text, or the rows of two lists by a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from application.actions.transform_sorting import sameness
from application.actions.transform_work import OfItem, Work, Wrong
from domain.expressions.frame import bounded_text, kind_of
from domain.expressions.values import to_text

_KEYS = ("with", "on", "left", "right", "kind", "as")
_ROW = 32


async def join(work: Work, value: Any, given: Any) -> Any:
    """A separator (text, or {separator}) joins texts; {with, on} joins rows."""
    if isinstance(given, str) or (isinstance(given, Mapping) and given.keys() == {"separator"}):
        return await _texts(work, value, work.rendered(given["separator"] if isinstance(given, Mapping) else given))
    if not isinstance(given, Mapping) or "with" not in given or given.keys() - set(_KEYS):
        raise Wrong("join takes a separator, or an object of with, on (or left and right), kind and as", kind="config")
    return await _Rows(work, given).joined(value)


async def _texts(work: Work, value: Any, separator: Any) -> str:
    if not isinstance(separator, str):
        raise Wrong(f"the separator must be text, not {kind_of(separator)}", kind="config")
    texts = await work.mapped(value, lambda item, index: to_text(item))
    bounded_text(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


class _Rows:
    """The rows of the value with those of `with`: null is equal to nothing, and a field that both have is the left one's."""

    def __init__(self, work: Work, given: Mapping[str, Any]) -> None:
        self._work = work
        self._with = work.rendered(given["with"])
        self._name = work.rendered(given.get("as"))
        self._kind = work.rendered(given.get("kind", "inner"))
        if self._kind not in ("inner", "left"):
            raise Wrong(f"the kind of a join is inner or left, not {str(self._kind)[:40]!r}", kind="config")
        if self._name is not None and not isinstance(self._name, str):
            raise Wrong("as must be a name", kind="config")
        left, right = given.get("left", given.get("on")), given.get("right", given.get("on"))
        if left is None or right is None:
            raise Wrong("join needs on, or left and right", "on: customer_id", "config")
        self._left, self._right = work.by(left, "left"), work.by(right, "right")

    async def joined(self, value: Any) -> list[Any]:
        """The rows, in the order of the left list and, for one of those, of the right list."""
        try:
            rights = await self._keyed(self._with, self._right)
        except Wrong as wrong:
            raise Wrong(f"with: {wrong.message}", wrong.hint, wrong.kind) from None
        found: dict[Any, list[Any]] = {}
        for key, row in rights:
            found.setdefault(key, []).append(row)
        made: list[Any] = []
        for key, row in await self._keyed(value, self._left):
            made.extend(self._pairs(row, [] if key is None else found.get(key, [])))
            self._work.counted(len(made))
        return made

    async def _keyed(self, value: Any, by: OfItem) -> list[tuple[Any, Mapping[str, Any]]]:
        def look(item: Any, index: int) -> tuple[Any, Mapping[str, Any]]:
            if not isinstance(item, Mapping):
                raise Wrong(f"join works on objects, not on {kind_of(item)}")
            key = by(item, index)
            return None if key is None else sameness(key), item

        return await self._work.mapped(value, look)

    def _pairs(self, left: Mapping[str, Any], rights: list[Any]) -> Iterator[Mapping[str, Any]]:
        if not rights and self._kind == "left":
            yield {**left, self._name: None} if self._name else dict(left)
        for right in rights:
            self._work.charge(_ROW * (1 + len(left) + (1 if self._name else len(right))))
            yield {**left, self._name: right} if self._name else {**right, **left}
