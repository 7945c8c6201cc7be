"""JSON that comes from outside: how deep it is, and the constants that are none of JSON's."""

from __future__ import annotations

from typing import Any


def depth_of(value: Any, most: int) -> int:
    """How deep lists and objects are nested, counted to one more than `most`."""
    level, depth = [value], 0
    while depth <= most:
        holders = [item for item in level if isinstance(item, dict | list | tuple) and item]
        if not holders:
            return depth
        level = [part for holder in holders for part in (holder.values() if isinstance(holder, dict) else holder)]
        depth += 1
    return depth


def no_constant(name: str) -> Any:
    """For `parse_constant`: NaN and Infinity are refused. Raises ValueError."""
    raise ValueError(f"{name} is not JSON")
