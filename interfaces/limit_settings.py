"""Limits as settings: TESTMESH_LIMIT_<NAME> in the environment, `[limits]` in the server's testmesh.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from domain.duration import parse_duration
from domain.errors import Invalid
from domain.limits import KIB, MIB, Limits
from domain.near_words import nearest

PREFIX = "TESTMESH_LIMIT_"
DEEPER = 4
"""How many times deeper than by default values may be nested: the interpreter's own stack bounds it."""
LARGER = 1_000
"""How many times larger than by default anything else may be."""

_SIZE = re.compile(r"([0-9][0-9_]*)\s*(B|KiB|MiB)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB}
_DEFAULTS: Mapping[str, float] = {one.name: getattr(Limits(), one.name) for one in fields(Limits)}
_LEAST = {"secret_min_chars": _DEFAULTS["secret_min_chars"]}


def read_limits(environ: Mapping[str, str], table: Mapping[str, Any] | None = None) -> dict[str, float]:
    """The limits that are set, by name; the environment wins over the table. Invalid names what cannot be."""
    written = {name: (f"[limits] {name}", value) for name, value in (table or {}).items()}
    for key, value in environ.items():
        if key.startswith(PREFIX) and value:
            written[key.removeprefix(PREFIX).lower()] = (key, value)
    return {name: _limit(name, place, value) for name, (place, value) in written.items()}


def as_environment(limits: Mapping[str, float]) -> dict[str, str]:
    """The same as variables of the environment, for processes that are started."""
    return {PREFIX + name.upper(): f"{value:g}" if isinstance(value, float) else str(value) for name, value in limits.items()}


def _limit(name: str, place: str, value: Any) -> float:
    if name not in _DEFAULTS:
        near = nearest(name, _DEFAULTS)
        remedy = f"did you mean {PREFIX}{near.upper()}?" if near else "docs/limits.md lists them"
        raise Invalid(f"{place} is not a limit", code="invalid_settings", remedy=remedy)
    default = _DEFAULTS[name]
    least, most = _LEAST.get(name, 1), default * (DEEPER if name.endswith("_depth") else LARGER)
    try:
        number = _number(name, value)
    except ValueError:
        kind = "64KiB" if name.endswith("_bytes") else "30m" if name.endswith("_seconds") else "100"
        raise Invalid(f"{place} cannot be {value!r}", code="invalid_settings", remedy=f"write it like {kind}") from None
    if not least <= number <= most:
        raise Invalid(f"{place} must be from {least:,g} to {most:,.0f}", code="invalid_settings")
    return number


def _number(name: str, value: Any) -> float:
    """ValueError for what is no number of this kind."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if name.endswith("_seconds"):
        return float(parse_duration(value))
    if isinstance(value, float):
        raise ValueError
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(value.strip())
    unit = (found[2] or "").lower() if found else ""
    if found is None or (unit and not name.endswith("_bytes")):
        raise ValueError
    return int(found[1]) * _UNITS[unit]
