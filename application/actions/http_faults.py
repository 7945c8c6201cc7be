"""What is wrong with the config of an HTTP step whatever its templates come to: its URL, and more bodies than one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from domain.definition import Path as Place
from domain.masking import MASKED

BODIES = ("body", "body_file", "json", "form", "multipart", "graphql")
SCHEMES = ("http", "https")
_TEMPLATE = ("${", "{{")
_USER = re.compile(r"^([a-z]*://)?(?!/).*@", re.IGNORECASE)
_SHOWN = 80

Faults = Iterator[tuple[Place, str, str | None]]


def http_faults(config: Mapping[str, Any]) -> Faults:
    """Those of `url` and of the bodies: the path below the config, what, and a remedy."""
    yield from url_faults(config)
    given = [key for key in config if key in BODIES and not _unknown(config[key])]
    if len(given) > 1:
        yield (given[1],), two_bodies(given), None


def url_faults(config: Mapping[str, Any], schemes: tuple[str, ...] = SCHEMES, others: tuple[str, ...] = ()) -> Faults:
    """Those of a `url` whose beginning is written out. `others` are schemes that are taken, and not spoken of."""
    url = config.get("url")
    if isinstance(url, str) and not _begins(url.strip(), (*schemes, *others)):
        yield ("url",), wrong_scheme(url, schemes), scheme_remedy(url, schemes)


def two_bodies(keys: list[str]) -> str:
    """What is wrong where several keys hold a body."""
    return f"{' and '.join(keys)} are both a body; keep one"


def wrong_scheme(url: str, schemes: tuple[str, ...] = SCHEMES, what: str = "url") -> str:
    """What is wrong with a URL that begins with none of the schemes; a user and password in it are not shown."""
    shown = _USER.sub(lambda found: f"{found[1] or ''}{MASKED}@", url.strip())
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"{what} must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}: {shown!r}"


def scheme_remedy(url: str, schemes: tuple[str, ...] = SCHEMES) -> str | None:
    """How to write a URL that has no scheme."""
    text = url.strip()
    if not text:
        return "the variable that it is made of may be empty"
    if text.startswith("/"):
        return "put the server before it: ${base_url}/..."
    return None if "://" in text or "@" in text else f"write {schemes[0]}://{text[:_SHOWN]}"


def _begins(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether a text begins with one of the schemes, or with a template that may hold it."""
    begin = min((at for sign in _TEMPLATE if (at := text.find(sign)) >= 0), default=len(text))
    literal = text[:begin].lower()
    if begin < len(text) and any(f"{scheme}://".startswith(literal) for scheme in schemes):
        return True
    return literal.startswith(tuple(f"{scheme}://" for scheme in schemes))


def _unknown(value: Any) -> bool:
    """Whether a body may turn out to be none: null, or a template."""
    return value is None or (isinstance(value, str) and any(sign in value for sign in _TEMPLATE))
