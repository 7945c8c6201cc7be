"""HTTP steps as curl commands for POSIX shells; variables without a value become shell variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from application.actions.http_bodies import kind_of
from application.actions.http_url import query_pairs, value_text
from application.exporting.requests import Request, json_text, part_text, parts
from application.exporting.templates import Resolver
from application.importing.text import slug
from domain.duration import parse_duration

_BEGIN, _END = "\ue000", "\ue001"
_MARK = re.compile(f"{_BEGIN}([A-Za-z0-9_]+){_END}")
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_IN_QUOTES = re.compile(r'([\\"$`])')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LONG = 100


def curl_resolver(known: Mapping[str, Any]) -> Resolver:
    """Names without a value are marked, and written as `$NAME` when the words are quoted."""

    def spelling(expression: str, plain: bool) -> str:
        name = expression if plain and re.fullmatch(r"[A-Za-z_]\w*", expression, re.ASCII) else slug(expression, "value")
        return f"{_BEGIN}{name}{_END}"

    return Resolver(known, spelling)


def curl_command(request: Request) -> str:
    """One command, on several lines when it is long; what curl cannot say stands in comments above."""
    words = [" ".join([option, *(word(value) for value in values)]) for option, *values in _options(request)]
    command = [f"curl {word(_url(request))}", *words]
    notes = "".join(f"# {note}\n" for note in _notes(request))
    line = " ".join(command)
    return notes + (line if len(line) <= _LONG else " \\\n  ".join(command))


def word(text: str) -> str:
    """A word of a POSIX shell; marked names stay variables, in double quotes."""
    if _CONTROL.search(text) and not _MARK.search(text):
        escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        return "$'" + _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", escaped) + "'"
    if not _MARK.search(text):
        return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "'\\''") + "'"
    pieces = _MARK.split(text)
    inside = [_IN_QUOTES.sub(r"\\\1", piece) if place % 2 == 0 else f"${{{piece}}}" for place, piece in enumerate(pieces)]
    return '"' + "".join(inside) + '"'


def _options(request: Request) -> Iterator[list[str]]:
    config = request.config
    body = list(_body(request))
    implied = "POST" if body else "GET"
    if request.method == "HEAD" and not body:
        yield ["--head"]
    elif request.method != implied:
        yield ["-X", request.method]
    for name, value in request.headers:
        yield ["-H", f"{name}: {value}" if value else (f"{name};" if value == "" else f"{name}:")]
    cookies = "; ".join(f"{name}={value}" for name, value in query_pairs(config.get("cookies")))
    if cookies:
        yield ["-b", cookies]
    yield from _auth(config.get("auth"))
    yield from body
    yield from _settings(config)


def _url(request: Request) -> str:
    added = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in request.params)
    auth = request.config.get("auth")
    if isinstance(auth, Mapping) and str(auth.get("type")) == "api_key" and auth.get("in") == "query":
        pair = f"{_encoded(str(auth.get('name', 'X-API-Key')))}={_encoded(str(auth.get('key', '')))}"
        added = f"{added}&{pair}" if added else pair
    url = request.url.partition("#")[0]
    return f"{url}{'&' if '?' in url else '?'}{added}" if added else url


def _encoded(text: str) -> str:
    pieces = _MARK.split(text)
    return "".join(quote(piece, safe="") if place % 2 == 0 else f"{_BEGIN}{piece}{_END}" for place, piece in enumerate(pieces))


def _auth(auth: Any) -> Iterator[list[str]]:
    if not isinstance(auth, Mapping):
        return
    kind = str(auth.get("type", "")).lower()
    if kind in ("basic", "digest"):
        if kind == "digest":
            yield ["--digest"]
        yield ["-u", f"{auth.get('username', auth.get('user', ''))}:{auth.get('password', '')}"]
    elif kind == "bearer":
        yield ["-H", f"Authorization: Bearer {auth.get('token', '')}"]
    elif kind == "api_key" and auth.get("in") != "query":
        yield ["-H", f"{auth.get('name', 'X-API-Key')}: {auth.get('key', '')}"]
    elif kind == "oauth2":
        yield ["-H", f"Authorization: Bearer {_BEGIN}access_token{_END}"]


def _body(request: Request) -> Iterator[list[str]]:
    config = request.config
    json = json_text(request)
    typed = request.has_header("content-type")
    if json is not None:
        if not typed:
            yield ["-H", "Content-Type: application/json"]
        yield ["--data-raw", json]
    elif config.get("body_file") is not None:
        if not typed:
            yield ["-H", f"Content-Type: {kind_of(str(config['body_file']))}"]
        yield ["--data-binary", f"@{config['body_file']}"]
    elif isinstance(config.get("form"), str):
        yield ["--data-raw", config["form"]]
    elif config.get("form") is not None:
        for name, value in query_pairs(config["form"]):
            yield ["--data-urlencode", f"{_encoded(name)}={value}"]
    elif config.get("multipart") is not None:
        for part in parts(config["multipart"]):
            yield _part(part)
    elif config.get("body"):
        if not typed:
            yield ["-H", "Content-Type:"]
        yield ["--data-raw", value_text(config["body"])]


def _part(part: Mapping[str, Any]) -> list[str]:
    text, settings = part_text(part), ""
    if part.get("file") is not None:
        text = f"@{part['file']}"
    for key, name in (("content_type", "type"), ("filename", "filename")):
        if part.get(key) is not None:
            settings += f";{name}={part[key]}"
    if part.get("file") is not None:
        return ["-F", f"{part.get('name', '')}={text}{settings}"]
    if not settings:
        option = "--form-string" if text.startswith(("@", "<")) or ";" in text else "-F"
        return [option, f"{part.get('name', '')}={text}"]
    shown = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if re.search(r'[;"]|^[@<]', text) else text
    return ["-F", f"{part.get('name', '')}={shown}{settings}"]


def _settings(config: Mapping[str, Any]) -> Iterator[list[str]]:
    if config.get("follow_redirects") not in (False, "false"):
        yield ["-L"]
        if config.get("max_redirects") is not None:
            yield ["--max-redirs", str(config["max_redirects"])]
    if config.get("verify_ssl") in (False, "false"):
        yield ["-k"]
    if config.get("proxy"):
        yield ["-x", str(config["proxy"])]
    if config.get("http2") in (True, "true"):
        yield ["--http2"]
    if config.get("save_to") is not None:
        yield ["-o", str(config["save_to"])]
    if (timeout := config.get("timeout")) is not None:
        try:
            yield ["--max-time", f"{parse_duration(timeout):g}"]
        except ValueError:
            return


def _notes(request: Request) -> Iterator[str]:
    yield request.title.replace("\n", " ").translate({ord(_BEGIN): "$", ord(_END): None})
    config = request.config
    if config.get("cert") is not None:
        yield "the step uses a client certificate: add --cert and --key"
    if isinstance(config.get("auth"), Mapping) and config["auth"].get("type") == "oauth2":
        yield f"access_token comes from {_shown(str(config['auth'].get('token_url', '')))} (client credentials)"
    if any("base64" in part for part in parts(config.get("multipart"))):
        yield "a part of the body is base64 in the flow; give it as a file: -F name=@file"


def _shown(text: str) -> str:
    return _MARK.sub(r"$\1", text).replace("\n", " ")
