"""Operations of `transform` that say what they are by `type`, and on which part of the input they work by `array` or `path`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from application.actions.config_values import known_keys
from application.actions.transform_work import Work
from application.engine.action import ActionError
from domain.expressions.errors import did_you_mean
from domain.expressions.values import to_text

if TYPE_CHECKING:
    from application.actions.transform_operations import Operation

_KEYS: Mapping[str, tuple[str, ...]] = {
    "extract": ("path",),
    "map": ("array", "transform"),
    "filter": ("array", "condition"),
    "join": ("array", "separator"),
    "format": ("template", "variables"),
}
"""The keys of each type; all are needed, but for `variables`."""


def typed_operation(item: Mapping[str, Any], place: str) -> tuple[str, Operation]:
    """The type, and the operation, which looks at the input and what was saved, not at what the operation before it made.
    ActionError `config` for what is no such operation."""
    kind = item["type"]
    if kind not in _KEYS:
        hint = did_you_mean(kind, _KEYS) or f"there is: {', '.join(_KEYS)}; others are written as {{sort: price}}"
        raise ActionError("config", f"{place}: there is no type {str(kind)[:80]!r}", hint=hint)
    keys = _KEYS[kind]
    known_keys(item, ("type", "save_as", *keys), f"{place} ({kind})")
    missing = [key for key in keys if key not in item and key != "variables"]
    if missing:
        raise ActionError("config", f"{place} ({kind}) needs {' and '.join(missing)}")

    async def formatted(work: Work, value: Any, given: Any) -> Any:
        return work.made(to_text(work.filled(item["template"], item.get("variables", {}))))

    async def on_a_part(work: Work, value: Any, given: Any) -> Any:
        from application.actions.transform_operations import OPERATIONS

        known = {**(work.first if isinstance(work.first, Mapping) else {}), **work.saved}
        if kind == "extract":
            return await OPERATIONS["extract"](work, known if known else work.first, item["path"])
        part = work.rendered(item["array"])
        if isinstance(part, str):
            part = await OPERATIONS["extract"](work, known, part)
        return await OPERATIONS[kind](work, part, item[keys[1]])

    return kind, formatted if kind == "format" else on_a_part
