"""The forms in which a secret may show itself: as encodings write it, and patterns for what they write in many ways."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus

from domain.limits import KIB, LIMITS

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
"""Characters that no encoding of texts writes in another way."""
_QUOTED: Mapping[str, tuple[str, ...]] = {
    "&": ("&(?:amp;)+",),
    "<": ("&(?:amp;)*lt;",),
    ">": ("&(?:amp;)*gt;",),
    '"': ("&(?:amp;)*quot;",),
    "'": ("&(?:amp;)*apos;", r"""'(?:\\*(?:['"]|&(?:amp;)*(?:#0*3[49]|#[xX]0*2[27]|quot|apos);)){1,4}"""),
    " ": (r"\+",),
}
"""How marked-up text, SQL, a shell and forms write a character."""
_LETTERS = {"\n": ("n",), "\r": ("r",), "\t": ("t",), "\b": ("b",), "\f": ("f",), "\\": ("",)}
_ESCAPES = r"(?:\\|%(?:25)*5[cC])+"
"""Backslashes, as many as there are texts around a text."""
_LONGEST_PATTERN = 4 * KIB
"""Secrets beyond are looked for in their literal forms alone."""


def values(secret: str) -> set[str]:
    """What of a secret may stand alone: all of it, and each of its lines."""
    return {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}


def patterns(secret: str) -> Iterator[str]:
    """A pattern for each value with characters that texts inside of texts, URLs and marked-up texts write in another way: of
    each character any of its ways."""
    for value in values(secret):
        if LIMITS.secret_min_chars <= len(value) <= _LONGEST_PATTERN and not PLAIN.issuperset(value):
            yield pattern(value)


def pattern(value: str) -> str:
    """Of one value, for a text in UTF-8."""
    return "".join(map(ways, value))


@lru_cache(maxsize=1024)
def ways(character: str) -> str:
    """As it is, in percent, as an entity, quoted, or by a letter or a number behind backslashes."""
    if character in PLAIN:
        return "\\." if character == "." else character
    raw = [f"{byte:02x}" for byte in character.encode("utf-8", "replace")]
    code, units = ord(character), character.encode("utf-16-be", "surrogatepass").hex()
    percent = "".join(f"%(?:25)*{_any_case(byte)}" for byte in raw)
    bare = [percent, f"&(?:amp;)*#(?:0*{code}|[xX]0*{_any_case(f'{code:x}')});", *_QUOTED.get(character, ())]
    if character != "\\":
        bare.append("".join(f"\\x{byte}" for byte in raw))
    behind = [_ESCAPES.join(f"u{_any_case(units[at : at + 4])}" for at in range(0, len(units), 4))]
    behind += [_ESCAPES.join(f"x{_any_case(byte)}" for byte in raw), *_LETTERS.get(character, ())]
    return f"(?:(?:{_ESCAPES})?(?:{'|'.join(bare)})|{_ESCAPES}(?:{'|'.join(behind)}))"


def _any_case(hex_digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in hex_digits)


def forms(secret: str) -> Iterator[str]:
    import html  # only where there is a secret

    for value in values(secret):
        raw = value.encode("utf-8", "replace")
        yield value
        for encoded in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
            yield encoded[1:-1]
            yield json.dumps(encoded[1:-1])[1:-1]  # JSON that is a text inside JSON
        for percent in (
            quote(value, safe="", errors="replace"),
            quote_plus(value, errors="replace"),
            quote(value, errors="replace"),
        ):
            yield percent
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), percent)
        yield html.escape(value)
        yield html.escape(value, quote=False)
        for backslashes in ("\\", "\\" * 2, "\\" * 4):
            yield "".join(f"{backslashes}u{ord(character):04x}" for character in value)
        yield raw.hex()
        yield raw.hex().upper()
        for text in {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}:
            yield from _base64_forms(text.encode("utf-8", "replace"))


def _base64_forms(raw: bytes) -> Iterator[str]:
    """The part of the encoding that depends on the secret alone, at each of the three offsets within a longer text."""
    for lead in range(3):
        padded = b"\0" * lead + raw
        whole = len(padded) // 3 * 4
        skip = 0 if lead == 0 else 4
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            inner = encode(padded).decode()[skip:whole]
            if len(inner) >= 8 or (lead == 0 and len(inner) >= LIMITS.secret_min_chars):
                yield inner
    yield base64.standard_b64encode(raw).decode()
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
