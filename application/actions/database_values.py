"""Values of databases as plain JSON data: what all kinds of databases have in common."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from decimal import Decimal
from typing import Any

_MOMENT = re.compile(r"(\d{4,})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d(?::\d\d)*)?")
_DIGITS = 300


def moment(text: str) -> str:
    """A date with a time as ISO 8601 text; another text (`infinity`, years BC) as it is."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return text
    year, month, day, time, offset = found.groups(default="")
    return f"{year}-{month}-{day}T{time}{offset}{':00' if len(offset) == 3 else ''}"


def exact(text: str) -> int | float | str:
    """A decimal as an integer when it is whole, else as a float; what JSON numbers cannot hold (NaN, 300 digits) as text."""
    if len(text) > _DIGITS:
        return text
    number = Decimal(text)
    if not number.is_finite():
        return text
    return int(number) if number == number.to_integral_value() else float(number)


def finite(number: float, text: str) -> float | str:
    """A float; NaN and infinities, which JSON lacks, as text."""
    return number if math.isfinite(number) else text


def base64_text(data: bytes) -> str:
    """Bytes as base64 text."""
    return b64encode(data).decode()


def json_text(value: Any) -> str:
    """A list or an object as JSON text; ValueError or TypeError for what JSON cannot hold."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
