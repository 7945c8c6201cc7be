"""When a value is what was wished for."""

from __future__ import annotations

from typing import Any


def same(value: Any, wanted: Any) -> bool:
    """Equal, true and 1 being two things; text that a template gave may stand for a number."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted or (isinstance(wanted, str) and wanted == str(value).lower())
    return bool(value == wanted) or (isinstance(wanted, str) and not isinstance(value, dict | list) and str(value) == wanted)
