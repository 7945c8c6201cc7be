"""What a loop goes through: lists, objects, ranges of numbers, and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from application.actions.loop_options import read_number
from application.actions.project_files import lies_below, path_below, project_folder
from application.engine.action import ActionContext, ActionError
from application.engine.errors import ONLY_NAMED
from domain.values import dataclass

_RANGE = re.compile(r"\s*(-?\d{1,15})\s*\.\.\s*(-?\d{1,15})\s*")
_KINDS = ("items", "range", "glob")


@dataclass(frozen=True, slots=True)
class Item:
    """One item; `parts` are names that it brings beside its own."""

    value: Any
    parts: Mapping[str, Any] = field(default_factory=dict)


def read_items(config: Mapping[str, Any], context: ActionContext) -> list[Item]:
    """The items of `items`, `range` or `glob`, one of which must be given. ActionError `config` for too many."""
    given = [kind for kind in _KINDS if config.get(kind) is not None]
    if len(given) != 1:
        raise ActionError("config", f"give one of items, range and glob, not {' and '.join(given) or 'none'}")
    most = read_number(config, "max_iterations", context.limits.loop_iterations, context.limits.loop_iterations)
    items = {"items": _listed, "range": _numbers, "glob": _files}[given[0]](config[given[0]], context)
    if len(items) > most:
        raise ActionError("limit", f"the loop has {len(items)} iterations; at most {most} are allowed")
    return items


def _listed(value: Any, context: ActionContext) -> list[Item]:
    if isinstance(value, list | tuple):
        return [Item(item) for item in value]
    if isinstance(value, Mapping):
        return [Item({"key": key, "value": item}, {"key": key, "value": item}) for key, item in value.items()]
    if isinstance(value, str) and _RANGE.fullmatch(value):
        return _numbers(value, context)
    raise ActionError("config", f"items must be a list or an object, not {value!r:.80}", hint="does the template give a list?")


def _numbers(value: Any, context: ActionContext) -> list[Item]:
    start, end, step = _bounds(value)
    if step == 0:
        raise ActionError("config", "the step of a range cannot be 0")
    if abs(end - start) // abs(step) > context.limits.loop_iterations:
        raise ActionError("limit", f"the range has more than {context.limits.loop_iterations} numbers")
    return [Item(number) for number in range(start, end + (1 if step > 0 else -1), step)]


def _bounds(value: Any) -> tuple[int, int, int]:
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        return _towards(int(found[1]), int(found[2]))
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    if _is_number(value) and value >= 0:
        return 0, value - 1, 1
    if isinstance(value, list | tuple) and len(value) in (2, 3) and all(map(_is_number, value)):
        return (value[0], value[1], value[2]) if len(value) == 3 else _towards(value[0], value[1])
    if isinstance(value, Mapping) and not value.keys() - {"start", "end", "step"} and "end" in value:
        parts = [value.get("start", 0), value["end"], value.get("step", 1)]
        if all(map(_is_number, parts)):
            return parts[0], parts[1], parts[2]
    raise ActionError("config", f"not a range: {value!r:.80}", hint="write 1..5, [1, 5], {start: 1, end: 5, step: 2} or 5")


def _towards(start: int, end: int) -> tuple[int, int, int]:
    return start, end, 1 if end >= start else -1


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _files(value: Any, context: ActionContext) -> list[Item]:
    root, pattern = project_folder("glob", context), path_below("glob", value, "data/**/*.json")
    found = sorted(path for path in root.glob(pattern) if path.is_file() and lies_below(root, path))
    if context.bundled and not found:
        raise ActionError("config", f"glob: no file of this flow is like {pattern!r:.200}", hint=ONLY_NAMED)
    return [Item(path.relative_to(root).as_posix()) for path in found]
