"""Reading of curl commands, as people write them and as browsers copy them (curl.se/docs/manpage.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from urllib.parse import quote_plus

from application.importing.bodies import as_body
from application.importing.curl_options import HANDLED, QUIET, SHORT, VALUED
from application.importing.curl_words import commands
from application.importing.model import Body, Call, Draft, Imported
from application.importing.secrets import Vault
from application.importing.text import in_project, url_parts
from domain.errors import Invalid, LimitExceeded
from domain.limits import LIMITS
from domain.values import dataclass

_BY_CONNECTION = ("content-length", "transfer-encoding", "host", "connection", "upgrade", "proxy-authorization")


def read_curl(text: str, *, keep_secrets: bool = False) -> Imported:
    """One flow with a step for each command in the text. Invalid when there is no curl command, or one without URL."""
    found = Imported()
    listed = commands(text)
    if not listed:
        raise Invalid("there is no curl command in this text", remedy="it begins with the word curl")
    if len(listed) > LIMITS.steps:
        raise LimitExceeded(f"there are {len(listed)} commands; one flow holds {LIMITS.steps}")
    draft = Draft("", comments=["Imported from curl."])
    vault = Vault(draft, keep_secrets)
    for words in listed:
        for options in _requests(words[1:], found):
            for call in _Reader(options, found).calls():
                vault.call(call)
                draft.calls.append(call)
    if not draft.calls:
        raise Invalid("the curl command has no URL")
    first = draft.calls[0]
    draft.name = first.name if len(draft.calls) == 1 else f"{first.name} and {len(draft.calls) - 1} more"
    found.drafts.append(draft)
    found.limit_calls()
    return found


@dataclass(slots=True)
class _Options:
    """The options of one request, in order."""

    given: list[tuple[str, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    def all(self, *names: str) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.given if name in names]

    def last(self, name: str) -> str | None:
        values = [value for given, value in self.given if given == name]
        return values[-1] if values else None

    def has(self, *names: str) -> bool:
        return any(given in names for given, _ in self.given)


def _requests(words: list[str], found: Imported) -> Iterator[_Options]:
    """The requests of one command; `--next` begins another."""
    options, plain = _Options(), False
    pending = iter(words)
    for word in pending:
        if plain or not word.startswith("-") or word == "-":
            options.urls.append(word)
        elif word == "--":
            plain = True
        elif word in ("--next", "-:"):
            yield options
            options = _Options()
        else:
            for name, value in _option(word, pending, found):
                if name == "url":
                    options.urls.append(value)
                else:
                    options.given.append((name, value))
    yield options


def _option(word: str, pending: Iterator[str], found: Imported) -> Iterator[tuple[str, str]]:
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        if name in VALUED:
            yield name, value if equals else next(pending, "")
        else:
            yield name, ""
        return
    rest = word[1:]
    while rest:
        letter, rest = rest[0], rest[1:]
        name = SHORT.get(letter, f"-{letter}")
        if name in VALUED:
            yield name, rest if rest else next(pending, "")
            return
        yield name, ""


class _Reader:
    """Makes requests of the options of one."""

    def __init__(self, options: _Options, found: Imported) -> None:
        self._options = options
        self._found = found
        self._comments: list[str] = []

    def calls(self) -> Iterator[Call]:
        """One request for each URL."""
        for url in self._options.urls:
            self._comments = []
            yield self._call(url if "://" in url.split("?")[0] else f"http://{url}")

    def _call(self, url: str) -> Call:
        options = self._options
        call = Call(self._method(), url, comments=self._comments)
        call.headers = list(self._headers())
        self._body(call)
        self._credentials(call)
        self._settings(call)
        call.without_header(*(name for name in _BY_CONNECTION if name != "host" or self._own_host(call)))
        parts = url_parts(url)
        call.name = f"{call.method} {parts.path or '/'}"
        self._unknown(options)
        return call

    def _method(self) -> str:
        options = self._options
        if request := options.last("request"):
            return request.upper()
        if options.has("head"):
            return "HEAD"
        if options.has("upload-file"):
            return "PUT"
        sends = ("data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "form", "form-string")
        return "POST" if options.has(*sends) and not options.has("get") else "GET"

    def _headers(self) -> Iterator[tuple[str, str]]:
        for _, text in self._options.all("header"):
            if text.startswith("@"):
                self._warn(f"headers of the file {text[1:]} are not read")
                continue
            name, colon, value = text.partition(":")
            if colon and value.strip():
                yield name.strip(), value.strip()
            elif not colon and text.endswith(";"):
                yield text[:-1].strip(), ""
        for option, name in (("user-agent", "User-Agent"), ("referer", "Referer")):
            if given := self._options.last(option):
                yield name, given.removesuffix(";auto")

    def _own_host(self, call: Call) -> bool:
        """Whether the header Host says what the URL says."""
        return (call.header("host") or "").lower() == url_parts(call.url).netloc.rpartition("@")[2].lower()

    def _body(self, call: Call) -> None:
        options = self._options
        if options.has("form", "form-string"):
            call.body = Body("multipart", [self._part(name, text) for name, text in options.all("form", "form-string")])
            if (call.header("content-type") or "").lower().startswith("multipart/form-data"):
                call.without_header("content-type")
            return
        if (file := self._whole_file(call)) is not None:
            call.body = Body("body_file", file)
            return
        data = [
            self._data(name, text)
            for name, text in self._options.all("data", "data-raw", "data-binary", "data-ascii", "data-urlencode")
        ]
        documents = [self._data(name, text) for name, text in options.all("json")]
        if options.has("get"):
            query = "&".join(data)
            call.url += (("&" if "?" in call.url else "?") + query) if query else ""
        elif documents:
            self._json_headers(call)
            call.body = as_body("".join(documents), call, "application/json")
        elif data:
            removed = any(re.fullmatch(r"content-type:\s*", text, re.IGNORECASE) for _, text in options.all("header"))
            call.body = as_body("&".join(data), call, "" if removed else "application/x-www-form-urlencoded")
        for _, text in options.all("url-query"):
            call.url += ("&" if "?" in call.url else "?") + (text[1:] if text.startswith("+") else _encoded(text))
        if options.has("upload-file"):
            self._warn(f"the file {options.last('upload-file')} is not read; give the body by hand")

    def _whole_file(self, call: Call) -> str | None:
        """The file that is sent as it is, if it is the whole body and lies where flows may read."""
        options = self._options
        given = options.all("data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "upload-file")
        name, text = next(iter(given), ("", ""))
        if len(given) != 1 or options.has("get") or name not in ("data-binary", "json", "upload-file"):
            return None
        file = text if name == "upload-file" else text[1:] if text.startswith("@") else ""
        if not in_project(file):
            return None
        if name == "json":
            self._json_headers(call)
        if name != "upload-file" and call.header("content-type") is None:
            kind = "application/json" if name == "json" else "application/x-www-form-urlencoded"
            call.headers.append(("Content-Type", kind))
        return file

    def _json_headers(self, call: Call) -> None:
        if call.header("accept") is None:
            call.headers.append(("Accept", "application/json"))

    def _data(self, option: str, text: str) -> str:
        if option == "data-urlencode":
            if re.match(r"[^=]*@", text):
                return self._file(text.partition("@")[2])
            return _encoded(text)
        if option != "data-raw" and text.startswith("@"):
            return self._file(text[1:])
        return text

    def _file(self, name: str) -> str:
        self._warn(f"the file {name} is not read; put its content into the body by hand")
        return f"@{name}"

    def _part(self, option: str, text: str) -> dict[str, str]:
        name, _, value = text.partition("=")
        if option == "form-string":
            return {"name": name, "value": value}
        value, settings = _settings_of(value)
        part = {"name": name}
        if value.startswith("@") and in_project(value[1:]):
            part["file"] = value[1:]
        elif value.startswith(("@", "<")):
            self._warn(f"the file {value[1:]} is not read; put its content into the part {name} by hand")
            part |= {"content": f"content of {value[1:]}"}
            if value.startswith("@"):
                part["filename"] = re.split(r"[/\\]", value[1:])[-1] or name
        else:
            part["value"] = value
        for key, setting in settings:
            if key in ("type", "filename"):
                part["content_type" if key == "type" else "filename"] = setting
        return part

    def _credentials(self, call: Call) -> None:
        options = self._options
        if (user := options.last("user")) is not None:
            name, _, password = user.partition(":")
            kind = "digest" if options.has("digest") else "basic"
            call.auth = {"type": kind, "username": name, "password": password}
        elif token := options.last("oauth2-bearer"):
            call.auth = {"type": "bearer", "token": token}
        for _, text in options.all("cookie"):
            if "=" in text:
                call.headers.append(("Cookie", text))
            else:
                self._warn(f"cookies of the file {text} are not read")

    def _settings(self, call: Call) -> None:
        options = self._options
        if seconds := options.last("max-time"):
            call.options["timeout"] = _seconds(seconds)
        if not options.has("location", "location-trusted"):
            call.options["follow_redirects"] = False
        elif (most := options.last("max-redirs")) and most.isdecimal():
            call.options["max_redirects"] = min(int(most), 50)
        if options.has("insecure"):
            call.options["verify_ssl"] = False
        if proxy := options.last("proxy"):
            call.options["proxy"] = self._proxy(proxy)
        if options.has("http2", "http2-prior-knowledge"):
            call.options["http2"] = True
        if (file := options.last("output")) and in_project(file):
            call.options["save_to"] = file
        if options.has("compressed"):
            call.without_header("accept-encoding")

    def _proxy(self, proxy: str) -> str:
        url = proxy if "://" in proxy else f"http://{proxy}"
        user = self._options.last("proxy-user")
        return url.replace("://", f"://{user}@", 1) if user and "@" not in url else url

    def _unknown(self, options: _Options) -> None:
        known = HANDLED | QUIET
        for name in dict.fromkeys(name for name, _ in options.given if name not in known):
            shown = name if name.startswith("-") else f"--{name}"
            self._found.left_out[f"curl option {shown}"] += 1
            self._comments.append(f"Left out: {shown}")

    def _warn(self, text: str) -> None:
        self._found.warn(text)
        self._comments.append(text[0].upper() + text[1:] + ".")


def _encoded(text: str) -> str:
    """As `--data-urlencode` does: `name=content`, `=content` or `content`."""
    name, equals, content = text.partition("=")
    if not equals:
        return quote_plus(text)
    return f"{name}={quote_plus(content)}" if name else quote_plus(content)


def _settings_of(value: str) -> tuple[str, list[tuple[str, str]]]:
    """A part's value and its settings: `@file;type=text/plain;filename=a.txt`."""
    content, *found = re.split(r";\s*(?=(?:type|filename|headers|encoder)=)", value)
    pairs = [item.partition("=") for item in found]
    return content, [(key, text.strip('"')) for key, _, text in pairs]


def _seconds(text: str) -> float | int | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number
