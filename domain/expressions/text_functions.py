"""The functions that take texts; those that protocols need are in `digests`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain.expressions.arguments import list_of, text_of, whole
from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, bounded_text
from domain.expressions.operators import contains, ends_with, matches, starts_with
from domain.expressions.values import to_text


def trim(frame: Frame, value: Any, characters: Any = None) -> str:
    """The text without blanks, or the characters given, at both ends."""
    return text_of(value, "trim").strip(None if characters is None else text_of(characters, "trim"))


def split(frame: Frame, value: Any, separator: Any, limit: Any = None) -> list[str]:
    """The parts of a text."""
    text, mark = text_of(value, "split"), text_of(separator, "split")
    frame.charge(len(text) >> 3)
    if not mark:
        return list(text)
    return text.split(mark) if limit is None else text.split(mark, max(0, whole(limit, "split") - 1))


def join(frame: Frame, value: Any, separator: Any = "") -> str:
    """The texts of a list as one."""
    parts = [to_text(item) for item in list_of(value, "join")]
    mark = text_of(separator, "join")
    bounded_text(sum(map(len, parts)) + len(mark) * len(parts))
    return mark.join(parts)


def replace(frame: Frame, value: Any, old: Any, new: Any) -> str:
    """The text with every `old` replaced."""
    text, what, by = text_of(value, "replace"), text_of(old, "replace"), text_of(new, "replace")
    bounded_text(len(text) + text.count(what) * max(0, len(by) - len(what)))
    return text.replace(what, by)


def repeat(frame: Frame, value: Any, times: Any) -> str:
    """The text so many times."""
    text, number = text_of(value, "repeat"), whole(times, "repeat")
    if number < 0:
        raise Fault("value", "repeat takes no negative number")
    bounded_text(len(text) * number)
    return text * number


TEXT_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "upper": lambda frame, value: text_of(value, "upper").upper(),
    "lower": lambda frame, value: text_of(value, "lower").lower(),
    "trim": trim,
    "trimPrefix": lambda frame, value, prefix: text_of(value, "trimPrefix").removeprefix(text_of(prefix, "trimPrefix")),
    "trimSuffix": lambda frame, value, suffix: text_of(value, "trimSuffix").removesuffix(text_of(suffix, "trimSuffix")),
    "split": split,
    "join": join,
    "replace": replace,
    "indexOf": lambda frame, value, part: text_of(value, "indexOf").find(text_of(part, "indexOf")),
    "lastIndexOf": lambda frame, value, part: text_of(value, "lastIndexOf").rfind(text_of(part, "lastIndexOf")),
    "hasPrefix": starts_with,
    "hasSuffix": ends_with,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "contains": contains,
    "matches": matches,
    "repeat": repeat,
}
"""By the canonical name; each takes the frame first."""
