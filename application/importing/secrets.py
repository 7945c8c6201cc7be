"""Credentials of imported requests: taken out of the draft, each replaced by a variable that is given from outside."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, unquote_plus

from application.importing.model import Body, Call, Draft
from application.importing.text import Template, compose, free, refer, slug

_SENSITIVE = re.compile(
    r"(?:^|[_.\-\[\s])(?:password|passwd|pwd|passphrase|secret|token|jwt|session(?:[_-]?id)?|auth|authorization|signature|sig"
    r"|api[_-]?key|private[_-]?key|access[_-]?key|client[_-]?secret)(?:$|[\]\s])|authorization$|(?:[a-z](?:Password|Secret|Token|ApiKey))$"
    r"|apikey$|(?:password|token|secret)$",
    re.IGNORECASE,
)
_QUERY = re.compile(r"([?&])([^=&#]+)=([^&#]*)")
_USER = re.compile(r"(?<=://)([^/?#@]*)@")
_CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "x-api-key", "x-auth-token", "x-amz-security-token"})


def is_sensitive(name: str) -> bool:
    """Whether a field or header of this name holds a credential."""
    return name.lower() in _CREDENTIAL_HEADERS or _SENSITIVE.search(name) is not None


class Vault:
    """Takes credentials out of drafts; equal values become one variable, different ones variables of different names: in one
    draft, or in all whose vaults share `names` (variables by value). `taken` are names that mean something else. With `keep`,
    nothing is taken."""

    def __init__(
        self, draft: Draft, keep: bool = False, *, names: dict[str, str] | None = None, taken: Iterable[str] = ()
    ) -> None:
        self._draft = draft
        self._keep = keep
        self._names: dict[str, str] = {} if names is None else names
        self._taken = frozenset(taken)

    def take(self, value: str, name: str, what: str) -> str:
        """The value, or the template of the variable that stands for it."""
        if self._keep or not value or isinstance(value, Template):
            return value
        if value not in self._names:
            outputs = [output for call in self._draft.calls for output in call.outputs]
            used = [*self._draft.env, *self._draft.given, *outputs, *self._names.values(), *self._taken]
            self._names[value] = free(slug(name, "secret"), used)
        self._draft.given.setdefault(self._names[value], what)
        return refer(self._names[value])

    def call(self, call: Call) -> None:
        """Take every credential out of one request."""
        if not self._keep:
            self._userinfo(call)
            self._authorization(call)
        if call.auth:
            call.auth = {key: self._auth_entry(key, value) for key, value in call.auth.items()}
        call.url = self.url(call.url)
        call.headers = [(name, self._named(name, value, f"the header {name}")) for name, value in call.headers]
        call.params = [(name, self._named(name, value, f"the query parameter {name}")) for name, value in call.params]
        call.cookies = {name: self.take(value, f"cookie_{name}", f"the cookie {name}") for name, value in call.cookies.items()}
        if call.body is not None:
            call.body = Body(call.body.kind, self._body(call.body.value, call.body.kind))
        if isinstance(call.options.get("proxy"), str):
            call.options["proxy"] = self.url(call.options["proxy"])

    def url(self, url: str) -> str:
        """The URL with user, password and telling query parameters taken out."""
        if self._keep:
            return url
        pieces: list[str] = []
        at = 0
        for start, end, name, value, what in self._finds(url):
            pieces += [_like(url, url[at:start]), self.take(value, name, what)]
            at = end
        return compose([*pieces, _like(url, url[at:])]) if pieces else url

    def _finds(self, url: str) -> Iterable[tuple[int, int, str, str, str]]:
        user = _USER.search(url)
        if user and "${" not in user[1] and "{{" not in user[1]:
            at = user.start(1)
            for name, part in zip(("username", "password"), user[1].split(":", 1), strict=False):
                yield at, at + len(part), name, part, f"the {name} in the URL, percent-encoded"
                at += len(part) + 1
        for found in _QUERY.finditer(url):
            if is_sensitive(unquote_plus(found[2])) and found[3] and "${" not in found[3] and "{{" not in found[3]:
                name = unquote_plus(found[2])
                yield found.start(3), found.end(3), name, found[3], f"the query parameter {name}, percent-encoded"

    def _userinfo(self, call: Call) -> None:
        """`https://user:password@host` becomes `auth` too."""
        found = _USER.search(call.url)
        if found is None or call.auth is not None or isinstance(call.url, Template):
            return
        user, _, password = found[1].partition(":")
        call.auth = {"type": "basic", "username": unquote(user), "password": unquote(password)}
        call.url = call.url[: found.start()] + call.url[found.end() :]

    def _authorization(self, call: Call) -> None:
        """`Authorization: Bearer` and `Basic` become `auth`, where the engine masks them."""
        given = call.header("authorization")
        if given is None or call.auth is not None or isinstance(given, Template):
            return
        scheme, _, value = given.strip().partition(" ")
        basic = _basic(value) if scheme.lower() == "basic" else None
        if scheme.lower() == "bearer" and value.strip():
            call.auth = {"type": "bearer", "token": value.strip()}
        elif basic is not None:
            call.auth = {"type": "basic", "username": basic[0], "password": basic[1]}
        else:
            return
        call.without_header("authorization")

    def _auth_entry(self, key: str, value: str) -> str:
        names = {"token": "token", "password": "password", "key": "api_key", "client_secret": "client_secret"}
        names |= {"username": "username", "client_id": "client_id"}
        return self.take(value, names[key], f"the {names[key].replace('_', ' ')}") if key in names else value

    def _named(self, name: str, value: str, what: str) -> str:
        return self.take(value, name, what) if is_sensitive(name) else value

    def _body(self, value: Any, kind: str, name: str = "") -> Any:
        if isinstance(value, dict):
            if "name" in value and kind == "multipart":
                return {
                    key: self._body(item, "", str(value["name"]) if key in ("value", "content") else "")
                    for key, item in value.items()
                }
            return {key: self._body(item, kind, str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._body(item, kind, name) for item in value]
        if isinstance(value, str) and name and is_sensitive(name):
            return self.take(value, name, f"the field {name} of a body")
        return value


def _like(whole: str, part: str) -> str:
    return Template(part) if isinstance(whole, Template) else part


def _basic(value: str) -> tuple[str, str] | None:
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
