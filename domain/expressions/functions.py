"""The functions that take plain values. Those that evaluate a part for each element are in `predicates`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain.expressions.conversions import CONVERSIONS
from domain.expressions.digests import PROTOCOL_FUNCTIONS
from domain.expressions.frame import Frame
from domain.expressions.json_schema import json_schema
from domain.expressions.list_functions import LIST_FUNCTIONS
from domain.expressions.number_functions import NUMBER_FUNCTIONS
from domain.expressions.text_functions import TEXT_FUNCTIONS


def _xpath(frame: Frame, text: Any, query: Any) -> Any:
    from domain.expressions.xpath import xpath  # only those who ask need it

    return xpath(frame, text, query)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **TEXT_FUNCTIONS,
    **LIST_FUNCTIONS,
    **NUMBER_FUNCTIONS,
    **CONVERSIONS,
    **PROTOCOL_FUNCTIONS,
    "json_schema": json_schema,
    "xpath": _xpath,
}
"""By the canonical name; each takes the frame first."""
