"""Where two values differ, path by path; and the lines that show it, `-` for what was expected and `+` for what came."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

from domain.values import dataclass

MISSING = object()
MOST = 20
CONTEXT = 2
LONGEST = 120
LINES = 400
"""Lines of two texts up to which they are compared line by line."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path at which two values differ; MISSING where a side has nothing there."""

    path: str
    old: Any
    new: Any


def differences(old: Any, new: Any, path: str = "$", depth: int = 64) -> Iterator[Difference]:
    """Every place where they differ, in the order of the old value."""
    if isinstance(old, dict) and isinstance(new, dict) and depth:
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key, MISSING), new.get(key, MISSING), _member(path, key), depth - 1)
    elif isinstance(old, list) and isinstance(new, list) and depth:
        for index in range(max(len(old), len(new))):
            one, other = (side[index] if index < len(side) else MISSING for side in (old, new))
            yield from differences(one, other, f"{path}[{index}]", depth - 1)
    elif not _same(old, new):
        yield Difference(path, old, new)


def difference_lines(expected: Any, actual: Any) -> list[str]:
    """Lines that begin with `- ` (expected), `+ ` (actual) or two blanks; none where there is nothing more to see than
    the two values themselves."""
    if isinstance(expected, str) and isinstance(actual, str):
        return _of_texts(expected.splitlines(), actual.splitlines()) if "\n" in expected + actual else []
    if not isinstance(expected, dict | list) or type(expected) is not type(actual):
        return []
    found: list[Difference] = []
    for difference in differences(expected, actual):
        if len(found) == MOST:
            return [*_aligned(found), "  ... and more"]
        found.append(difference)
    return _aligned(found)


def shown(value: Any, limit: int = LONGEST) -> str:
    """A value in one line."""
    if value is MISSING:
        return "(missing)"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _aligned(found: list[Difference]) -> list[str]:
    width = min(40, max((len(one.path) for one in found), default=0))
    lines = []
    for one in found:
        if one.old is not MISSING:
            lines.append(f"- {one.path:<{width}}  {shown(one.old)}")
        if one.new is not MISSING:
            lines.append(f"+ {one.path:<{width}}  {shown(one.new)}")
    return lines


def _of_texts(expected: list[str], actual: list[str]) -> list[str]:
    if max(len(expected), len(actual)) > LINES:
        return []
    lines = list(difflib.unified_diff(expected, actual, n=CONTEXT, lineterm=""))[2:]
    cut = [f"{line[:1]} {line[1 : LONGEST + 1]}" for line in lines if not line.startswith("@@")]
    return cut if len(cut) <= 2 * MOST else [*cut[: 2 * MOST], f"  ... {len(cut) - 2 * MOST} more lines"]


def _member(path: str, key: Any) -> str:
    text = str(key)
    return f"{path}.{text}" if text.replace("_", "a").replace("-", "a").isalnum() else f"{path}[{json.dumps(text)}]"


def _same(old: Any, new: Any) -> bool:
    """Equal, and of one type; 1 and 1.0 are the same number, true and 1 are not."""
    if any(isinstance(value, bool) for value in (old, new)):
        return old is new
    return bool(old == new)
