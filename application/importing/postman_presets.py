"""Pre-request scripts of Postman: variables that are set to a literal or a made-up value."""

from __future__ import annotations

import re
from collections.abc import Callable

from application.importing.javascript import arguments, statements, string
from application.importing.postman_scripts import IGNORED, SETTER
from application.importing.text import Template
from domain.limits import LIMITS


def preset(text: str, dynamic: Callable[[str], str]) -> tuple[dict[str, str], list[str]]:
    """What a pre-request script sets to a literal or a made-up value, by Postman's names; and the statements left."""
    found: dict[str, str] = {}
    left: list[str] = []
    if len(text) > LIMITS.string_bytes:
        return found, [text]
    for statement in statements(text):
        match = SETTER.match(statement)
        given = arguments(match[1]) if match else []
        name = string(given[0]) if len(given) == 2 else None
        value = _made_up(given[1], dynamic) if name is not None else None
        if name is not None and value is not None:
            found[name] = value
        elif not IGNORED.match(statement):
            left.append(statement)
    return found, left


def _made_up(text: str, dynamic: Callable[[str], str]) -> str | None:
    text = text.strip()
    if (found := string(text)) is not None:
        return dynamic(found)
    if re.fullmatch(r"-?\d+(?:\.\d+)?", text):
        return text
    if match := re.fullmatch(r"pm\.variables\.replaceIn\((.*)\)", text, re.DOTALL):
        inner = string(match[1])
        return dynamic(inner) if inner is not None else None
    known = {
        "Date.now()": "TIMESTAMP_MS", "newDate().getTime()": "TIMESTAMP_MS", "newDate().toISOString()": "ISO_TIMESTAMP",
        "Math.floor(Date.now()/1000)": "TIMESTAMP", "uuid.v4()": "UUID", "crypto.randomUUID()": "UUID",
    }  # fmt: skip
    name = known.get(re.sub(r"\s+", "", text))
    return Template(f"${{{name}}}") if name else None
