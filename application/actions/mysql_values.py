"""Values of MySQL as plain JSON data, and plain data as literals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from pymysql.constants import FIELD_TYPE
from pymysql.converters import encoders

from application.actions.database_values import exact, json_text, moment
from application.engine.action import ActionError

_WHOLE = (
    FIELD_TYPE.TINY,
    FIELD_TYPE.SHORT,
    FIELD_TYPE.INT24,
    FIELD_TYPE.LONG,
    FIELD_TYPE.LONGLONG,
    FIELD_TYPE.YEAR,
)
CONVERSIONS: dict[Any, Any] = {
    **encoders,
    **dict.fromkeys(_WHOLE, int),
    FIELD_TYPE.BIT: lambda data: int.from_bytes(data, "big"),
    FIELD_TYPE.FLOAT: float,
    FIELD_TYPE.DOUBLE: float,
    FIELD_TYPE.DECIMAL: exact,
    FIELD_TYPE.NEWDECIMAL: exact,
    FIELD_TYPE.DATETIME: moment,
    FIELD_TYPE.TIMESTAMP: moment,
    FIELD_TYPE.JSON: json.loads,
}
"""By the type of a column: from what the server wrote to plain data. Dates and times of day stay the text that they are."""


def literal(value: Any, escape: Callable[[str], str]) -> str:
    """A value as SQL. `escape` makes text safe between single quotes. ActionError of kind config for what has no literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return f" {value!r}"  # the blank keeps a minus apart from what stands before
    try:
        text = value if isinstance(value, str) else json_text(value) if isinstance(value, dict | list) else None
        if text is not None:
            return _quoted(text, escape(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ActionError("config", f"a parameter could not be sent: {error}") from None
    raise ActionError("config", f"a parameter could not be sent: MySQL has no literal for {value!r:.40}")


def _quoted(text: str, escaped: str) -> str:
    """Text between quotes. Where signs are escaped after bytes of other letters, in digits: under a character set such as
    GBK, which a flow may choose for its session, such a byte would swallow the backslash."""
    data = text.encode()
    return f"'{escaped}'" if text.isascii() or escaped == text else f"_utf8mb4 X'{data.hex()}'"
