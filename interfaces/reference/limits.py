"""The reference of limits: each with its default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from domain.limits import KIB, LIMITS, MEANINGS, MIB
from interfaces.reference.markdown import code, join, table

_INTRODUCTION = """\
Sizes, counts, depths and times that TestMesh bounds. What goes beyond one is refused with a message that says so, or cut and
marked as cut (`truncated`). In this version they are the same for everybody: no setting changes them."""


def limits_page() -> str:
    """All limits in the order of the code."""
    rows = [(code(name), shown(name, value), MEANINGS.get(name, "")) for name, value in _values()]
    return join(["# Limits", _INTRODUCTION, table(("limit", "value", "what it bounds"), rows)])


def _values() -> Iterator[tuple[str, float]]:
    return ((field.name, getattr(LIMITS, field.name)) for field in fields(LIMITS))


def shown(name: str, value: float) -> str:
    """A limit with its unit."""
    if name.endswith("_bytes"):
        return f"{value // MIB} MiB" if value % MIB == 0 else f"{value // KIB} KiB"
    return f"{value:g} s" if name.endswith("_seconds") else f"{value:,}"
