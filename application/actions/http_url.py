"""URLs of HTTP requests: read, judged, and given their query."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from application.engine.action import ActionContext, ActionError
from application.engine.egress import EgressPolicy, LocalPolicy, checked_addresses

if TYPE_CHECKING:
    import httpx

_REMEMBERED = 100
"""URLs of an execution whose parsed form is kept for the next step that asks for the same."""
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?", re.IGNORECASE)
_NUMERIC = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
"""Hosts that `inet_aton` may take for an address (WHATWG: those whose last label is a number)."""


def read_url(text: Any, context: ActionContext) -> httpx.URL:
    """The URL, with neither fragment nor userinfo lost. ActionError `config` for all but http and https."""
    if not isinstance(text, str) or not text.strip():
        raise ActionError("config", "url must be text")
    if len(text.encode("utf-8", "replace")) >= context.limits.url_bytes:
        raise ActionError("config", f"url is longer than {context.limits.url_bytes} bytes")
    import httpx

    seen: dict[str, httpx.URL] = context.resources.setdefault("http:urls", {})
    if text in seen:
        return seen[text]
    try:
        url = httpx.URL(text.strip())
    except (httpx.InvalidURL, ValueError) as error:
        raise ActionError("config", f"not a URL: {error}") from None
    checked_url(url)
    if len(seen) < _REMEMBERED:
        seen[text] = url
    return url


def checked_url(url: httpx.URL) -> httpx.URL:
    """The URL, if it is one of http or https whose host can be asked for."""
    if url.scheme not in ("http", "https"):
        raise ActionError("config", f"the URL must begin with http:// or https://, not {url.scheme or 'nothing'}:")
    host = url.raw_host.decode()
    if not (_is_address(host) or _NAME.fullmatch(host)):
        raise ActionError("config", f"not a host: {url.host!r}")
    if url.port == 0:
        raise ActionError("config", "not a port: 0")
    return url


async def judge_number(policy: EgressPolicy, url: httpx.URL) -> None:
    """Numbers that some systems take for an address are judged as that address, and never asked for."""
    if ":" in url.host or not _NUMERIC.fullmatch(url.host) or _is_address(url.host):
        return
    addresses = await checked_addresses(policy, url.host, port_of(url))
    raise ActionError("config", f"{url.host} is not a whole IPv4 address", hint=f"write {addresses[0]}")


async def judge_target(policy: EgressPolicy, url: httpx.URL) -> None:
    """What a proxy is asked for is judged here too, since the proxy resolves it by itself."""
    if not isinstance(policy.base, LocalPolicy):
        await checked_addresses(policy, url.host, port_of(url))


def port_of(url: httpx.URL) -> int:
    """The port, known from the scheme when it is not written."""
    return url.port or (443 if url.scheme == "https" else 80)


def origin_of(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, url.host, port_of(url)


def user_of(url: httpx.URL) -> tuple[str, str] | None:
    """User and password of a URL `user:password@host`, decoded."""
    user, _, password = url.userinfo.decode().partition(":")
    return (unquote(user), unquote(password)) if url.userinfo else None


def bare(url: httpx.URL) -> httpx.URL:
    """The URL without userinfo and fragment, as it is sent and shown."""
    return url.copy_with(userinfo=b"", fragment=None) if url.userinfo or url.fragment else url


def with_query(url: httpx.URL, *queries: Any) -> httpx.URL:
    """The URL with these objects added to its query: lists repeat the name, null is left out."""
    pairs = [pair for query in queries for pair in query_pairs(query)]
    if not pairs:
        return url
    added = urlencode(pairs, quote_via=quote, safe="", errors="replace").encode()
    return url.copy_with(query=url.query + b"&" + added if url.query else added)


def query_pairs(query: Any) -> Iterator[tuple[str, str]]:
    """Names and values as text, in order. ActionError `config` for what is neither object nor value."""
    if query is None:
        return
    if not isinstance(query, Mapping):
        raise ActionError("config", "params, query and form are objects of names and values")
    for name, value in query.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, Mapping | list | tuple):
                raise ActionError("config", f"the value of {name} must be text, a number or a list of them")
            if item is not None:
                yield str(name), value_text(item)


def value_text(value: Any) -> str:
    """A plain value as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@lru_cache(maxsize=1024)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
