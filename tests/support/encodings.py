"""How a secret may look in what was written: the encodings in which systems give back what they were told. This shares nothing
with `domain.masking`, which must find them all."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus


def _json(text: str, *, letters: bool = False) -> str:
    return json.dumps(text, ensure_ascii=not letters)[1:-1]


def _lower(percent: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), percent)


def _base64(lead: int, encode: Callable[[bytes], bytes]) -> Callable[[str], str]:
    """Of the encoding of a text in which a secret begins after some bytes, the groups that are of the secret alone."""

    def inner(secret: str) -> str:
        raw = secret.encode()
        groups = encode(b"~" * lead + raw)[: (lead + len(raw)) // 3 * 4]
        return groups[4 if lead else 0 :].decode()

    return inner


ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "json": _json,
    "json_with_letters": lambda secret: _json(secret, letters=True),
    "json_in_json": lambda secret: _json(_json(secret)),
    "unicode_escapes": lambda secret: "".join(f"\\u{ord(character):04x}" for character in secret),
    "percent": lambda secret: quote(secret, safe=""),
    "percent_lower": lambda secret: _lower(quote(secret, safe="")),
    "percent_in_a_path": quote,
    "form": quote_plus,
    "html": html.escape,
    "html_text": lambda secret: html.escape(secret, quote=False),
    "html_numbers": lambda secret: html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "xml": lambda secret: html.escape(secret).replace("&#x27;", "&apos;"),
    "python": lambda secret: secret.replace("\\", "\\\\").replace("'", "\\'"),
    "sql": lambda secret: secret.replace("'", "''"),
    "shell": lambda secret: secret.replace("'", "'\"'\"'"),
    "hex": lambda secret: secret.encode().hex(),
    "hex_upper": lambda secret: secret.encode().hex().upper(),
    **{f"base64_{lead}": _base64(lead, base64.standard_b64encode) for lead in range(3)},
    **{f"base64_url_{lead}": _base64(lead, base64.urlsafe_b64encode) for lead in range(3)},
}
"""By name, what of an encoding depends on the secret alone."""


def told(secret: str) -> dict[str, str]:
    """A text in each encoding, which says the secret in between, as a system would."""

    def within(name: str, encode: Callable[[str], str]) -> str:
        family, _, lead = name.rpartition("_")
        if family in ("base64", "base64_url"):
            encoder = base64.urlsafe_b64encode if family == "base64_url" else base64.standard_b64encode
            return encoder(b"<:>"[: int(lead)] + f"{secret}?!".encode()).decode()
        return f"<{encode(secret)}>"

    return {name: within(name, encode) for name, encode in ENCODINGS.items()}


def bare(text: str) -> str:
    """The text without what texts inside of texts add at any depth, for the secret to be legible in it or not."""
    return re.sub(r"\\+u00([89a-f][0-9a-f])", lambda found: chr(int(found[1], 16)), text).replace("\\", "")


def forms(secret: str) -> dict[str, str]:
    """What to look for: each encoding, and both halves, of which one stays where a text was cut before it was masked."""
    middle = len(secret) // 2
    halves = {"first half": secret[:middle], "second half": secret[middle:]}
    return {name: encode(secret) for name, encode in ENCODINGS.items()} | halves
