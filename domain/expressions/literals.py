"""Literals: numbers, and what stands between quotes, as the values they mean."""

from __future__ import annotations

import re

from domain.expressions.errors import ExpressionError

_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))?", re.DOTALL)
_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r"}


def unquote(literal: str, offset: int, text: str) -> str:
    """The text of a whole string literal, quotes included; backquotes hold raw text."""
    inside = literal[1:-1]
    return inside if literal[0] == "`" else unescape(inside, offset + 1, text)


def unescape(inside: str, offset: int, text: str) -> str:
    """The text of the inside of a quoted string. Unknown letters behind a backslash stay as written: patterns need them."""
    if "\\" not in inside:
        return inside

    def meaning(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code:
            if int(code, 16) > 0x10FFFF:
                raise ExpressionError("there is no such character", offset + match.start(), text)
            return chr(int(code, 16))
        letter = match[4] or ""
        if letter in _SIMPLE:
            return _SIMPLE[letter]
        return "\\" + letter if letter.isalnum() else letter

    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), _ESCAPE.sub(meaning, inside))


def number(literal: str, offset: int, text: str) -> int | float:
    """The number; digits may be parted by _, and 0x begins a hexadecimal one. ExpressionError for one that is too large."""
    digits = literal.replace("_", "")
    if digits[:2] in ("0x", "0X"):
        value: int | float = int(digits, 16)
    elif len(digits) > 400:
        raise ExpressionError("the number is too large", offset, text, None, "limit")
    else:
        value = int(digits) if digits.isdigit() else float(digits)
    if value in (float("inf"),) or (isinstance(value, int) and value.bit_length() > 1024):
        raise ExpressionError("the number is too large", offset, text, None, "limit")
    return value
