"""URLs of HTTP requests: read once by our own rules, judged, and given their query; no other parser sees them afterwards."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from application.actions.http_faults import scheme_remedy, wrong_scheme
from application.engine.action import ActionContext, ActionError
from application.engine.egress import EgressPolicy, LocalPolicy, checked_addresses

_REMEMBERED = 100
"""URLs of an execution whose parsed form is kept for the next step that asks for the same."""
_PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?")
"""RFC 3986 appendix B: scheme, authority, path, query and fragment."""
_AUTHORITY = re.compile(r"(?:(.*)@)?(\[[^\[\]]*\]|[^:@\[\]]*)(?::([0-9]{0,5}))?")
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and lone surrogates."""
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?", re.IGNORECASE)
_DOTTED = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_NUMERIC = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
"""Hosts that `inet_aton` may take for an address (WHATWG: those whose last label is a number)."""
_NOT_IN_USER = re.compile(r"[^!-~]|[\"#<>?`{}/;=@\[\\\]^|]")
_NOT_IN_PATH = re.compile(r"[^!-~]|[\"#<>?`{}]")
_NOT_IN_QUERY = re.compile(r"[^!-~]|[\"#<>]")
_NOT_IN_FRAGMENT = re.compile(r"[^!-~]|[\"<>`]")
"""What is percent-encoded in each part (WHATWG URL section 1.3); escapes that are there already stay as they are."""


class Url(NamedTuple):
    """The parts of a URL, in ASCII, as they are judged and sent. `host` is in lower case, an IPv6 address without brackets;
    `port` is None where the scheme says it; `query` None is none, and empty is a bare `?`."""

    scheme: str
    userinfo: str
    host: str
    port: int | None
    path: str
    query: str | None = None
    fragment: str | None = None

    @property
    def netloc(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query as a request line has them."""
        path = self.path or "/"
        return path if self.query is None else f"{path}?{self.query}"

    def __repr__(self) -> str:
        return str(bare(self))

    def __str__(self) -> str:
        user = f"{self.userinfo}@" if self.userinfo else ""
        query = "" if self.query is None else f"?{self.query}"
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.scheme}://{user}{self.netloc}{self.path}{query}{fragment}"


def read_url(text: Any, context: ActionContext) -> Url:
    """The URL, with neither fragment nor userinfo lost. ActionError `config` for all but http and https."""
    if not isinstance(text, str):
        raise ActionError("config", "url must be text")
    if len(text.encode("utf-8", "replace")) >= context.limits.url_bytes:
        raise ActionError("config", f"url is longer than {context.limits.url_bytes} bytes")
    seen: dict[str, Url] = context.resources.setdefault("http:urls", {})
    url = seen.get(text)
    if url is None:
        url = parse_url(text.strip())
        if len(seen) < _REMEMBERED:
            seen[text] = url
    return url


def parse_url(text: str, base: Url | None = None) -> Url:
    """The URL that a text names; with `base`, what it names when it stands there (RFC 3986 section 5.2.2). ActionError
    `config` for what is no URL of http or https whose host can be asked for."""
    found = None if _UNWRITABLE.search(text) else _PARTS.fullmatch(text)
    if found is None:
        raise ActionError("config", "not a URL: it has a control character or half of one", key="url")
    scheme, authority, path, query, fragment = found.groups()
    scheme = (scheme or (base.scheme if base is not None else "")).lower()
    if base is not None and authority is None and scheme == base.scheme:
        return _relative(base, path, query, fragment)
    if scheme not in _PORTS:
        raise ActionError(
            "config", wrong_scheme(text, what="url" if base is None else "the URL of a redirect"), hint=scheme_remedy(text)
        )
    user, host, port = _authority(authority or "", scheme)
    return Url(scheme, user, host, port, *_rest(path, query, fragment))


def _relative(base: Url, path: str, query: str | None, fragment: str | None) -> Url:
    """A reference without an authority, seen from another URL."""
    if not path:
        query = base.query if query is None else query
        path = base.path
    elif not path.startswith("/"):
        path = f"{base.path.rpartition('/')[0]}/{path}"
    return Url(base.scheme, base.userinfo, base.host, base.port, *_rest(path, query, fragment))


def _rest(path: str, query: str | None, fragment: str | None) -> tuple[str, str | None, str | None]:
    return (
        _escaped(_NOT_IN_PATH, _without_dots(path)),
        None if query is None else _escaped(_NOT_IN_QUERY, query),
        None if fragment is None else _escaped(_NOT_IN_FRAGMENT, fragment),
    )


def _authority(text: str, scheme: str) -> tuple[str, str, int | None]:
    """User, host and port. What stands before the last `@` is the user, whatever it looks like."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        hint = "in a user or password write %2F for /, %3F for ? and %23 for #"
        raise ActionError("config", "not a URL: what follows its host is not a port", hint=hint, key="url")
    user, host, port = found[1] or "", _host(found[2]), int(found[3]) if found[3] else None
    if port is not None and not 0 < port < 65536:
        raise ActionError("config", f"not a port: {port}", key="url")
    return _escaped(_NOT_IN_USER, user), host, None if port == _PORTS[scheme] else port


def _host(text: str) -> str:
    """The host in ASCII and lower case. Names in other scripts are encoded by IDNA 2008 (RFC 5891), which maps nothing but
    dots: what only looks like a digit is refused."""
    host = text.lower()
    if host.startswith("["):
        if ":" in host and _is_address(host[1:-1]):
            return host[1:-1]
        raise ActionError("config", f"not a URL: {text[:80]!r} is not an IPv6 address", key="url")
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host).decode("ascii")
        except ValueError:
            raise ActionError("config", f"not a URL: {text[:80]!r} is not a host name", key="url") from None
    if not _NAME.fullmatch(host) or (_DOTTED.fullmatch(host) and not _is_address(host)):
        raise ActionError("config", f"not a host: {text[:80]!r}", key="url")
    return host


def _escaped(unsafe: re.Pattern[str], text: str) -> str:
    return text if unsafe.search(text) is None else unsafe.sub(lambda found: quote(found[0], safe=""), text)


def _without_dots(path: str) -> str:
    """The path without `.` and `..` (RFC 3986 section 5.2.4); it begins with `/` unless it is empty."""
    if "/." not in path:
        return path
    kept: list[str] = []
    parts = path.split("/")
    for part in parts[1:]:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


async def judge_number(policy: EgressPolicy, url: Url) -> None:
    """Numbers that some systems take for an address are judged as that address, and never asked for."""
    if ":" in url.host or not _NUMERIC.fullmatch(url.host) or _is_address(url.host):
        return
    addresses = await checked_addresses(policy, url.host, port_of(url))
    raise ActionError("config", f"{url.host} is not a whole IPv4 address", hint=f"write {addresses[0]}", key="url")


async def judge_target(policy: EgressPolicy, url: Url) -> None:
    """What a proxy is asked for is judged here too, since the proxy resolves it by itself."""
    if not isinstance(policy.base, LocalPolicy):
        await checked_addresses(policy, url.host, port_of(url))


def port_of(url: Url) -> int:
    """The port, known from the scheme when it is not written."""
    return url.port or _PORTS[url.scheme]


def origin_of(url: Url) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, url.host, port_of(url)


def user_of(url: Url) -> tuple[str, str] | None:
    """User and password of a URL `user:password@host`, decoded."""
    user, _, password = url.userinfo.partition(":")
    return (unquote(user), unquote(password)) if url.userinfo else None


def bare(url: Url) -> Url:
    """The URL without userinfo and fragment, as it is sent and shown."""
    return url._replace(userinfo="", fragment=None) if url.userinfo or url.fragment is not None else url


def with_query(url: Url, *queries: Any) -> Url:
    """The URL with these objects added to its query: lists repeat the name, null is left out."""
    pairs = [pair for query in queries for pair in query_pairs(query)]
    if not pairs:
        return url
    added = urlencode(pairs, quote_via=quote, safe="", errors="replace")
    return url._replace(query=f"{url.query}&{added}" if url.query else added)


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
