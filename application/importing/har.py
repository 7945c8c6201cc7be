"""Reading of HAR 1.2 files (w3c.github.io/web-performance/specs/HAR): recorded calls as one flow with its correlations."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import field
from typing import Any
from urllib.parse import unquote

from application.importing.bodies import as_body
from application.importing.correlation import Correlation
from application.importing.model import Body, Call, Draft, Imported
from application.importing.reading import json_body, read_json
from application.importing.secrets import Vault
from application.importing.text import Template, compose, free, member, refer, slug, url_parts
from domain.errors import Invalid
from domain.values import dataclass

_API_TYPES = frozenset({"xhr", "fetch"})
_STATIC_TYPES = frozenset({"script", "stylesheet", "image", "font", "media", "manifest", "texttrack", "ping", "beacon"})
_STATIC_MIME = re.compile(
    r"(?:image|font|audio|video)/|text/css|application/(?:font|wasm|manifest)|.*(?:javascript|ecmascript)"
)
_STATIC_PATH = re.compile(
    r"\.(?:js|mjs|css|map|png|jpe?g|gif|svg|ico|webp|avif|woff2?|ttf|otf|eot|mp[34]|webm|wasm)$", re.IGNORECASE
)
_NOISE = re.compile(
    r":.*|sec-.*|accept-encoding|accept-language|user-agent|connection|host|content-length|transfer-encoding|cache-control"
    r"|pragma|dnt|priority|upgrade(?:-insecure-requests)?|if-none-match|if-modified-since|cookie|te|keep-alive|purpose"
    r"|proxy-.*|save-data|x-requested-with-browser|newrelic|traceparent|tracestate",
    re.IGNORECASE,
)
_TRACKING = re.compile(r"_ga|_gid|_gat|_gcl|_fbp|_hj|ajs_|mp_|amplitude|optimizely|__utm|_uet", re.IGNORECASE)
_KEYS = 8
_ANSWER_NODES = 50_000


@dataclass(frozen=True, slots=True)
class HarFilter:
    """Which entries are wanted; empty: all API calls. `types` are resource types as browsers call them, or `all`."""

    url_contains: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    all_headers: bool = False


@dataclass(slots=True)
class _Jar:
    """Cookies that answers have set so far, which the engine keeps by itself."""

    values: dict[str, set[str]] = field(default_factory=dict)

    def own(self, cookies: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Those that no answer has set."""
        return {name: value for name, value in cookies if value not in self.values.get(name, set())}

    def add(self, cookies: Iterable[tuple[str, str]]) -> None:
        for name, value in cookies:
            self.values.setdefault(name, set()).add(value)


def read_har(data: bytes, name: str, wanted: HarFilter, *, keep_secrets: bool = False) -> Imported:
    """One flow of the wanted entries, in the order of their start. Invalid when the file is no HAR or nothing is wanted."""
    entries = _entries(read_json(data, name))
    found = Imported()
    kept = [entry for entry in entries if _wanted(entry, wanted, found.left_out)]
    if not kept:
        raise Invalid(f"none of the {len(entries)} entries is wanted", remedy="see --url-contains, --method and --type")
    draft = Draft(_title(kept), comments=["Imported from a HAR file."])
    draft.env = _origins(kept)
    _fill(draft, kept, wanted, found)
    vault = Vault(draft, keep_secrets)
    for call in draft.calls:
        vault.call(call)
    found.drafts.append(draft)
    found.limit_calls()
    return found


def _entries(value: Any) -> list[dict[str, Any]]:
    log = value.get("log") if isinstance(value, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise Invalid("this is no HAR file: it has no log.entries", remedy='in a browser: network panel, "save all as HAR"')
    fine = [entry for entry in entries if isinstance(entry, dict) and _text(entry, "request", "url")]
    return sorted(fine, key=lambda entry: str(entry.get("startedDateTime", "")))


def _wanted(entry: dict[str, Any], wanted: HarFilter, left_out: Counter[str]) -> bool:
    why = _why_not(entry, wanted)
    if why:
        left_out[why] += 1
    return why is None


def _why_not(entry: dict[str, Any], wanted: HarFilter) -> str | None:
    url, method = _text(entry, "request", "url"), _text(entry, "request", "method").upper()
    if not url.startswith(("http://", "https://")):
        return "entries that are not HTTP"
    if not url_parts(url).hostname:
        return "entries whose URL cannot be read"
    if wanted.url_contains and not any(part in url for part in wanted.url_contains):
        return "entries that --url-contains excludes"
    if wanted.methods and method not in wanted.methods:
        return "entries that --method excludes"
    kind = str(entry.get("_resourceType", "")).lower()
    if wanted.types:
        return None if "all" in wanted.types or (kind or "other") in wanted.types else "entries that --type excludes"
    if kind in ("preflight", "websocket", "eventsource") or (method == "OPTIONS" and not wanted.methods):
        return f"entries of type {kind or 'preflight'}"
    if not _status(entry):
        return "requests that got no answer"
    mime = _text(entry, "response", "content", "mimeType").lower()
    if kind in _STATIC_TYPES or (
        kind not in _API_TYPES and (_STATIC_MIME.match(mime) or _STATIC_PATH.search(url_parts(url).path))
    ):
        return "static files"
    page = kind not in _API_TYPES and method in ("GET", "HEAD") and "html" in mime
    return "pages (--type document takes them)" if page else None


def _title(entries: list[dict[str, Any]]) -> str:
    hosts = Counter(url_parts(_text(entry, "request", "url")).hostname or "" for entry in entries)
    host = hosts.most_common(1)[0][0]
    return f"Recorded calls of {host}" if len(hosts) == 1 else f"Recorded calls of {host} and {len(hosts) - 1} more"


def _origins(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """A variable for each origin: `base_url` for the one that is asked most."""
    counts = Counter(_origin(_text(entry, "request", "url")) for entry in entries)
    names: dict[str, Any] = {}
    for place, (origin, _) in enumerate(counts.most_common()):
        name = "base_url" if place == 0 else free(f"{slug(url_parts(origin).hostname or '', 'host')}_url", names)
        names[name] = origin
    return names


def _origin(url: str) -> str:
    parts = url_parts(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _fill(draft: Draft, entries: list[dict[str, Any]], wanted: HarFilter, found: Imported) -> None:
    correlation, jar = Correlation(set(draft.env)), _Jar()
    names = {origin: name for name, origin in draft.env.items()}
    for entry in entries:
        call = _call(entry, wanted, jar)
        origin = _origin(call.url)
        correlation.request(call)
        body = _answer_body(entry)
        _expect(call, entry, body)
        cookies = _cookies(entry, "response")
        jar.add(cookies)
        correlation.answer(call, body[0] if body else None, _pairs(entry, "response", "headers"), cookies)
        _name(call, names[origin])
        call.headers = [(name, refer(names[value]) if value in names else value) for name, value in call.headers]
        draft.calls.append(call)
    if correlation.count:
        found.warnings.append(f"{correlation.count} values of later requests are taken from earlier answers")


def _name(call: Call, variable: str) -> None:
    """Put the variable of the origin into the URL, and name the step by method and path."""
    rest = call.url[call.url.index("://") + 3 :]
    slash = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    rest = rest[slash:]
    rest = Template(rest) if isinstance(call.url, Template) else rest
    path = rest.partition("?")[0] or "/"
    call.name = compose([f"{call.method} ", Template(path) if isinstance(rest, Template) else path])
    call.url = compose([refer(variable), rest])


def _call(entry: dict[str, Any], wanted: HarFilter, jar: _Jar) -> Call:
    request = entry["request"]
    call = Call(_text(entry, "request", "method").upper() or "GET", _text(entry, "request", "url").partition("#")[0])
    for name, value in _pairs(entry, "request", "headers"):
        lower = name.lower()
        safe = call.method in ("GET", "HEAD") and lower in ("origin", "referer")
        if lower in ("cookie", "content-length", "host") or lower.startswith(":"):
            continue
        if wanted.all_headers or not (safe or _NOISE.fullmatch(name)):
            call.headers.append((name, value))
    if not wanted.all_headers and call.header("accept") == "*/*":
        call.without_header("accept")
    call.cookies = {name: value for name, value in jar.own(_cookies(entry, "request")).items() if not _TRACKING.match(name)}
    data = request.get("postData")
    if isinstance(data, dict):
        _body(call, data)
    if 300 <= _status(entry) < 400 and _status(entry) != 304:
        call.options["follow_redirects"] = False
    return call


def _body(call: Call, data: dict[str, Any]) -> None:
    mime = str(data.get("mimeType") or "")
    params = data.get("params")
    if mime.lower().startswith("multipart/") and isinstance(params, list) and params:
        call.without_header("content-type")
        call.body = Body("multipart", [_part(item) for item in params if isinstance(item, dict)])
    elif isinstance(data.get("text"), str) and data["text"]:
        call.body = as_body(data["text"], call, mime)
    elif isinstance(params, list) and params:
        fields: dict[str, list[str]] = {}
        for item in params:
            if isinstance(item, dict):
                fields.setdefault(unquote(str(item.get("name", ""))), []).append(unquote(str(item.get("value", ""))))
        call.without_header("content-type")
        call.body = Body("form", {name: values[0] if len(values) == 1 else values for name, values in fields.items()})


def _part(item: dict[str, Any]) -> dict[str, str]:
    part = {"name": str(item.get("name", "")), "value": str(item.get("value") or "")}
    if item.get("fileName"):
        part["filename"] = str(item["fileName"])
    if item.get("contentType"):
        part["content_type"] = str(item["contentType"])
    return part


def _expect(call: Call, entry: dict[str, Any], body: tuple[Any] | None) -> None:
    """The status, and for JSON its outline: what is there, not what it says."""
    status = _status(entry)
    if status:
        call.asserts.append(f"status == {200 if status == 304 else status}")
    call.asserts += outline(body[0]) if body else []


def outline(value: Any, path: str = "body", most: int = _KEYS) -> list[str]:
    """Assertions about the names in a value; none about what may be null or empty another time."""
    if isinstance(value, list):
        return [f"{path} is array"]
    if not isinstance(value, dict):
        return []
    named = [key for key, item in value.items() if item is not None and item != [] and len(key) <= 100]
    return [f"{member(path, key)} exists" for key in named[:most]] or [f"{path} is object"]


def _answer_body(entry: dict[str, Any]) -> tuple[Any] | None:
    content = entry.get("response", {}).get("content") if isinstance(entry.get("response"), dict) else None
    if not isinstance(content, dict) or not isinstance(content.get("text"), str):
        return None
    if "json" not in str(content.get("mimeType", "")).lower():
        return None
    text = content["text"]
    if content.get("encoding") == "base64":
        try:
            text = base64.b64decode(text).decode()
        except (binascii.Error, ValueError):
            return None
    return json_body(text, _ANSWER_NODES)


def _cookies(entry: dict[str, Any], side: str) -> list[tuple[str, str]]:
    listed = _pairs(entry, side, "cookies")
    if listed:
        return listed
    header = "cookie" if side == "request" else "set-cookie"
    texts = [value for name, value in _pairs(entry, side, "headers") if name.lower() == header]
    if side == "request":
        pieces = [piece for text in texts for piece in text.split(";")]
    else:
        pieces = [line.partition(";")[0] for text in texts for line in text.split("\n")]
    split = [piece.strip().partition("=") for piece in pieces if "=" in piece]
    return [(name, value) for name, _, value in split]


def _pairs(entry: dict[str, Any], side: str, what: str) -> list[tuple[str, str]]:
    part = entry.get(side)
    listed = part.get(what) if isinstance(part, dict) else None
    if not isinstance(listed, list):
        return []
    return [(str(item["name"]), str(item.get("value", ""))) for item in listed if isinstance(item, dict) and item.get("name")]


def _status(entry: dict[str, Any]) -> int:
    response = entry.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    return status if isinstance(status, int) and 100 <= status <= 599 else 0


def _text(entry: dict[str, Any], *keys: str) -> str:
    value: Any = entry
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
