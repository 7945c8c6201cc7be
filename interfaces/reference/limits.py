"""The reference of limits: each with its default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from domain.limits import KIB, MEANINGS, MIB, Limits
from interfaces.limit_settings import DEEPER, LARGER
from interfaces.reference.markdown import code, join, table

_INTRODUCTION = f"""\
Sizes, counts, depths and times that TestMesh bounds. What goes beyond one is refused with a message that says so, or cut and
marked as cut (`truncated`).

Each is a setting: `TESTMESH_LIMIT_<NAME>` in the environment of a process, such as `TESTMESH_LIMIT_RESPONSE_READ_BYTES=128MiB`
or `TESTMESH_LIMIT_RUN_SECONDS=2h`; for servers and workers also the table `[limits]` of `testmesh.toml`
(`response_read_bytes = "128MiB"`), over which the environment wins. Depths may be {DEEPER} times the default, everything else
{LARGER:,} times. Server, workers and command line each have their own: give all of them the same."""


def limits_page() -> str:
    """All limits in the order of the code."""
    rows = [(code(name), shown(name, value), MEANINGS.get(name, "")) for name, value in _values()]
    return join(["# Limits", _INTRODUCTION, table(("limit", "default", "what it bounds"), rows)])


def _values() -> Iterator[tuple[str, float]]:
    return ((field.name, getattr(Limits(), field.name)) for field in fields(Limits))


def shown(name: str, value: float) -> str:
    """A limit with its unit."""
    if name.endswith("_bytes"):
        return f"{value // MIB} MiB" if value % MIB == 0 else f"{value // KIB} KiB"
    return f"{value:g} s" if name.endswith("_seconds") else f"{value:,}"
