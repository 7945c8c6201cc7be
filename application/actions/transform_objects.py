"""The operations of `transform` that shape objects, one or each of a list: pick, omit, rename, merge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from application.actions.transform_work import Work, Wrong, field_of
from domain.expressions.frame import kind_of


async def pick(work: Work, value: Any, given: Any) -> Any:
    """These fields alone; `name?` may be missing."""
    names = _names(work, given, "pick")

    def of(item: Mapping[str, Any], index: int) -> Any:
        kept = {name: field_of(item, [name.removesuffix("?")], name.endswith("?")) for name in names}
        return {name.removesuffix("?"): found for name, found in kept.items() if name.removesuffix("?") in item}

    return await _objects(work, value, of)


async def omit(work: Work, value: Any, given: Any) -> Any:
    """All fields but these."""
    names = set(_names(work, given, "omit"))
    return await _objects(work, value, lambda item, index: {name: part for name, part in item.items() if name not in names})


async def rename(work: Work, value: Any, given: Any) -> Any:
    """The same fields, some under new names; `old?` may be missing."""
    names = work.rendered(given)
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
        raise Wrong("rename takes an object of old and new names", kind="config")

    def of(item: Mapping[str, Any], index: int) -> Any:
        for name in names:
            if not name.endswith("?"):
                field_of(item, [name], False)
        new = {name.removesuffix("?"): other for name, other in names.items()}
        made = {new.get(name, name): part for name, part in item.items()}
        if len(made) < len(item):
            raise Wrong("two fields would have one name", "pick or omit first")
        return made

    return await _objects(work, value, of)


async def merge(work: Work, value: Any, given: Any) -> Any:
    """More fields, whose templates know the object as `item`; they win."""

    def of(item: Mapping[str, Any], index: int) -> Any:
        more = work.made(work.rendered(given, item, index))
        if not isinstance(more, Mapping):
            raise Wrong(f"merge takes an object of fields, not {kind_of(more)}", kind="config")
        work.charge(len(item))
        return {**item, **more}

    return await _objects(work, value, of)


async def _objects(work: Work, value: Any, function: Callable[[Mapping[str, Any], int], Any]) -> Any:
    """What is made of an object, or of each in a list."""

    def of(item: Any, index: int) -> Any:
        if not isinstance(item, Mapping):
            raise Wrong(f"it works on objects, not on {kind_of(item)}")
        return function(item, index)

    return of(value, 0) if isinstance(value, Mapping) else await work.mapped(value, of)


def _names(work: Work, given: Any, what: str) -> list[str]:
    names = work.rendered(given)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise Wrong(f"{what} takes the names of fields", kind="config")
    return list(names)
