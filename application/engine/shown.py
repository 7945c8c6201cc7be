"""What is recorded of a result: without secrets, and without what carries credentials by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.masking import MASKED, Masker


def shown(result: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    """The result as it is recorded: secrets masked, headers and cookies that carry credentials masked by name."""
    found: dict[str, Any] = masker.mask(dict(result))
    for name, value in found.items():
        if isinstance(value, list) and value and _has_headers(value[0]):
            found[name] = _requests(value, masker)
    if isinstance(result.get("headers"), Mapping):
        found["headers"] = masker.mask_headers(result["headers"])
    if isinstance(result.get("cookies"), Mapping):
        found["cookies"] = dict.fromkeys(result["cookies"], MASKED)
    return found


def _requests(value: list[Any], masker: Masker) -> list[Any]:
    """Recorded requests, their headers masked by name too."""
    mask = masker.mask_headers
    return [{**item, "headers": mask(item["headers"])} if _has_headers(item) else item for item in value]


def _has_headers(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("headers"), Mapping)
