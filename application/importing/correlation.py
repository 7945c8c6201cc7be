"""Correlation: values of earlier answers that later requests carry become outputs, and references to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from application.importing.model import Body, Call
from application.importing.secrets import is_sensitive
from application.importing.text import compose, free, member, quoted, refer, slug, url_parts
from domain.values import dataclass

SHORTEST = 6
"""Characters of a value that is looked for everywhere; shorter ids of things that were made count as a part of a path only."""

_LONG = 20
_MOST = 5_000
_DEPTH = 30
_ID = re.compile(
    r"(?:^|[_-])(?:u?u?id|guid|key|code|slug|ref|hash|nonce|csrf|xsrf|cursor|etag|state|number)$|[a-z](?:Id|Key|Code|Uuid)$",
    re.I,
)
_VAGUE = frozenset({"id", "_id", "uuid", "guid", "key", "code", "value", "name", "number", "ref", "slug", "hash"})
_TOKENS = tuple(re.compile(pattern) for pattern in (r"[^\s\"'&;,<>]+", r"[\w.~+/=-]+", r"[\w.~=-]+", r"[\w-]+"))
_HEADERS = frozenset({"location", "etag", "x-csrf-token", "x-xsrf-token", "x-auth-token", "authorization", "x-request-id"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was first seen in an answer: the step, and the output path that finds it again."""

    call: Call
    path: str
    key: str


class Correlation:
    """Walks requests and answers in their order. `names` are all names that are taken."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._origins: dict[str, Origin] = {}
        self._short: dict[str, Origin] = {}
        self._outputs: dict[str, str] = {}
        self._sent: set[str] = set()
        self.count = 0
        """How many places were replaced."""

    def request(self, call: Call) -> None:
        """Replace what comes from earlier answers. What a request carries first is its own, and no later answer's."""
        url = url_parts(call.url)
        fields = [url.path, *self._query(url.query), *(value for _, value in call.headers), *_leaves_of(call.body)]
        for text in fields:
            self._sent.update(found for pattern in _TOKENS for found in pattern.findall(text) if found not in self._origins)
        call.headers = [(name, self._text(value)) for name, value in call.headers]
        self._url(call)
        if call.body is not None:
            call.body = Body(call.body.kind, self._value(call.body.value))

    def answer(self, call: Call, body: Any, headers: list[tuple[str, str]], cookies: list[tuple[str, str]]) -> None:
        """Remember what an answer holds."""
        left = _MOST
        for path, key, value in _leaves(body, "body", "", 0):
            self._offer(Origin(call, path, key), key, value)
            left -= 1
            if left == 0:
                break
        for name, value in headers:
            if name.lower() in _HEADERS or is_sensitive(name):
                self._offer(Origin(call, f"headers[{quoted(name)}]", name), name, value)
            if name.lower() == "location":
                last = value.partition("?")[0].rstrip("/").rpartition("/")[2]
                self._offer(Origin(call, f"last(split(headers[{quoted(name)}], '/'))", "id"), "id", unquote(last))
        for name, value in cookies:
            self._offer(Origin(call, member("cookies", name), name), name, value)
            self._offer(Origin(call, member("cookies", name), name), name, unquote(value))

    def _offer(self, origin: Origin, key: str, value: Any) -> None:
        text = str(value)
        if isinstance(value, bool) or text in self._sent or re.search(r"\s", text):
            return
        telling = _ID.search(key) is not None or is_sensitive(key)
        if len(text) >= SHORTEST:
            if telling or len(text) >= _LONG or any(character.isdigit() for character in text):
                self._origins.setdefault(text, origin)
        elif telling and origin.call.method == "POST" and text.isalnum():
            self._short.setdefault(text, origin)

    def _url(self, call: Call) -> None:
        """The path by its segments; a query value that would need encoding moves to `params`, which encodes."""
        url = url_parts(call.url)
        if not self._origins and not self._short:
            return
        head = f"{url.scheme}://{url.netloc}"
        parts: list[str] = [head]
        for segment in re.split(r"(/)", url.path):
            parts.append(self._segment(segment))
        kept: list[str] = []
        for pair in url.query.split("&") if url.query else []:
            name, equals, raw = pair.partition("=")
            value = unquote_plus(raw)
            found = self._text(value)
            if found is value or not equals:
                kept += ["&", pair]
            elif quote(value, safe="-._~") == value:
                kept += ["&", f"{name}=", found]
            else:
                call.params.append((unquote_plus(name), found))
        call.url = compose([*parts, "?" if kept else "", *kept[1:]])

    def _segment(self, segment: str) -> str:
        if segment in self._short:
            return self._refer(segment, self._short[segment])
        found = self._text(segment)
        return found if found is segment or quote(unquote(segment), safe="-._~") == segment else segment

    def _query(self, query: str) -> list[str]:
        return [unquote_plus(pair.partition("=")[2]) for pair in query.split("&")]

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {key: self._value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in self._origins:
            return self._refer(str(value), self._origins[str(value)])
        return value

    def _text(self, text: str) -> str:
        """The same text when nothing in it came from an answer."""
        return compose(self._parts(text, 0)) if self._hit(text) else text

    def _hit(self, text: str) -> bool:
        return text in self._origins or any(found in self._origins for pattern in _TOKENS for found in pattern.findall(text))

    def _parts(self, text: str, width: int) -> Iterator[str]:
        if text in self._origins:
            yield self._refer(text, self._origins[text])
            return
        if width == len(_TOKENS):
            yield text
            return
        at = 0
        for found in _TOKENS[width].finditer(text):
            yield text[at : found.start()]
            yield from self._parts(found[0], width + 1)
            at = found.end()
        yield text[at:]

    def _refer(self, value: str, origin: Origin) -> str:
        self.count += 1
        if value not in self._outputs:
            name = free(self._name(origin), self._names)
            self._names.add(name)
            self._outputs[value] = name
            origin.call.outputs[name] = origin.path
            if is_sensitive(origin.key) or is_sensitive(name):
                origin.call.secret_outputs.append(name)
        return refer(self._outputs[value])

    def _name(self, origin: Origin) -> str:
        if origin.key.lower() not in _VAGUE:
            return slug(origin.key, "value", 40)
        above = re.fullmatch(r".*?\.(\w+)(?:\[\d+\])?\.\w+", origin.path)
        words = (
            [above[1]] if above else [part for part in origin.call.url.split("/") if re.fullmatch(r"[A-Za-z][A-Za-z_-]*", part)]
        )
        return slug(f"{_singular(words[-1])}_{origin.key}" if words else origin.key, "value", 40)


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _leaves(value: Any, path: str, key: str, depth: int) -> Iterator[tuple[str, str, str | int]]:
    if isinstance(value, str | int) and not isinstance(value, bool):
        yield path, key, value
    elif depth < _DEPTH and isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, member(path, name), name, depth + 1)
    elif depth < _DEPTH and isinstance(value, list):
        for place, item in enumerate(value[:50]):
            yield from _leaves(item, member(path, place), key, depth + 1)


def _leaves_of(body: Body | None) -> list[str]:
    return [str(value) for _, _, value in _leaves(body.value, "", "", 0)] if body is not None else []
