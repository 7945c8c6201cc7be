"""What is sound in a document that has errors: its other parts are left out, and whatever they may define counts as known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from application.documents.grammar import PHASES
from application.documents.reader import Document
from domain.definition import Path
from domain.values import dataclass

_STEPS = (*PHASES, "on_error")
_NEEDED = ("name", "steps")
"""Without these there is no flow to look at."""
_ELSEWHERE = ("data", "env_file")
"""Where they are broken, nobody knows which names they bring."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sound:
    """The value without what is broken, a step that is left out being None; the names that the rest may rely on; and whether
    there may be others."""

    value: dict[str, Any]
    known: frozenset[str]
    anything: bool


def sound_parts(document: Document, broken: Sequence[Path]) -> Sound | None:
    """What can be looked at although there are errors at the `broken` paths; None when that is nothing."""
    value = dict(document.value)
    if any(len(path) < 2 and (not path or path[0] in (*_STEPS, *_NEEDED)) for path in broken):
        return None
    for path in broken:
        if path[0] in _STEPS and isinstance(path[1], int):
            steps = value[path[0]] = list(value[path[0]])
            steps[path[1]] = None
        else:
            value.pop(str(path[0]), None)
    known = frozenset(_names(document.value)) | _keys(document.value, "env") | _keys(document.value, "inputs")
    return Sound(value, known, any(path[0] in _ELSEWHERE for path in broken)) if value.get("steps") else None


def _keys(value: dict[str, Any], name: str) -> set[str]:
    return set(map(str, value[name])) if isinstance(value.get(name), dict) else set()


def _names(value: Any) -> Iterator[str]:
    """Ids and outputs, wherever they stand; and what loops call their items."""
    if isinstance(value, dict):
        for key in ("id", "item_name", "index_name", "once"):
            if isinstance(value.get(key), str):
                yield value[key]
        yield from _keys(value, "output")
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)
