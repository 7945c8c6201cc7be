"""One request of a Postman collection: URL, headers, body and credentials, with its variables as references."""

from __future__ import annotations

import re
from typing import Any

from application.importing.model import Body, Call, Imported
from application.importing.postman_values import Names
from application.importing.reading import json_body
from application.importing.text import compose, in_project, refer

_OURS = ("content-length", "transfer-encoding", "host", "connection", "upgrade", "proxy-authorization")
_LANGUAGES = {
    "json": "application/json", "xml": "application/xml", "html": "text/html", "javascript": "application/javascript",
    "text": "text/plain",
}  # fmt: skip
_PATH_VARIABLE = re.compile(r"(?<=/):([A-Za-z_][\w-]*)(?=[/?#]|$)")
_SETTINGS = {"followRedirects": "follow_redirects", "strictSSL": "verify_ssl", "maxRedirects": "max_redirects"}


class PostmanRequest:
    """Reads requests; what has no counterpart is counted in `found`."""

    def __init__(self, names: Names, found: Imported) -> None:
        self._names = names
        self._found = found

    def read(self, item: dict[str, Any], auth: Any) -> Call:
        """The request of an item. `auth` is what it inherits."""
        request = item["request"]
        request = {"url": request, "method": "GET"} if isinstance(request, str) else request
        request = request if isinstance(request, dict) else {}
        text = self._names.text
        method = str(request.get("method") or "GET").upper()
        call = Call(method if re.fullmatch(r"[A-Z][A-Z0-9_-]{0,31}", method) else "GET", self._url(request.get("url")))
        call.description = self._description(request.get("description"))
        for header in _enabled(request.get("header")):
            name = str(header.get("key") or "").strip()
            if name and name.lower() not in _OURS:
                call.headers.append((text(name), text(str(header.get("value") or ""))))
        own = request.get("auth")
        self._auth(call, own if isinstance(own, dict) else auth)
        if isinstance(request.get("body"), dict) and request["body"].get("disabled") is not True:
            self._body(call, request["body"])
        behavior = item.get("protocolProfileBehavior")
        for theirs, ours in _SETTINGS.items():
            value = behavior.get(theirs) if isinstance(behavior, dict) else None
            if isinstance(value, bool if ours != "max_redirects" else int):
                call.options[ours] = value if ours != "max_redirects" else max(0, min(int(value), 50))
        return call

    def _description(self, value: Any) -> str:
        value = value.get("content") if isinstance(value, dict) else value
        return value.strip()[:2000] if isinstance(value, str) else ""

    def _url(self, url: Any) -> str:
        raw = url if isinstance(url, str) else self._raw(url if isinstance(url, dict) else {})
        raw = raw.strip() or "http://localhost"
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|\{\{", raw):
            raw = f"http://{raw}"
        given = (
            {str(one.get("key")): one.get("value") for one in _enabled(url.get("variable"))} if isinstance(url, dict) else {}
        )
        scheme = raw.find("://") + 3 if "://" in raw else 0
        start = raw.find("/", scheme)
        if start < 0:
            return self._names.text(raw)
        path, mark, query = raw[start:].partition("?")
        parts, at = [self._names.text(raw[:start])], 0
        for found in _PATH_VARIABLE.finditer(path):
            value = given.get(found[1])
            shown = self._names.text(str(value)) if value not in (None, "") else refer(self._names.read(found[1]))
            parts += [self._names.text(path[at : found.start()]), shown]
            at = found.end()
        return compose([*parts, self._names.text(path[at:] + mark + query)])

    def _raw(self, url: dict[str, Any]) -> str:
        """The URL as it is shown, else put together of its parts."""
        if not url.get("host") or (isinstance(url.get("raw"), str) and url["raw"]):
            return str(url.get("raw") or "")

        def joined(value: Any, mark: str) -> str:
            if not isinstance(value, list):
                return str(value or "")
            return mark.join(str(part.get("value") if isinstance(part, dict) else part) for part in value)

        port = f":{url['port']}" if url.get("port") else ""
        query = "&".join(f"{pair.get('key')}={pair.get('value') or ''}" for pair in _enabled(url.get("query")))
        scheme = f"{url['protocol']}://" if url.get("protocol") else ""
        return f"{scheme}{joined(url.get('host'), '.')}{port}/{joined(url.get('path'), '/')}{'?' + query if query else ''}"

    def _auth(self, call: Call, auth: Any) -> None:
        kind = str(auth.get("type")) if isinstance(auth, dict) else "noauth"
        if kind == "noauth":
            return
        values = self._settings(auth.get(kind))
        made = _AUTHS[kind](values) if kind in _AUTHS else None
        if made is not None and made.get("token") == "":
            made["token"] = refer(self._names.read("token"))
        if made is None:
            self._found.left_out[f"auth of type {kind}"] += 1
            call.comments.append(f"Left out: auth of type {kind}")
        else:
            call.auth = {key: value for key, value in made.items() if value}

    def _settings(self, given: Any) -> dict[str, str]:
        """The settings of an auth: pairs in version 2.1, an object in 2.0."""
        pairs = given.items() if isinstance(given, dict) else [(one.get("key"), one.get("value")) for one in _enabled(given)]
        return {str(key): self._names.text(str(value)) for key, value in pairs if isinstance(value, str | int | float)}

    def _body(self, call: Call, body: dict[str, Any]) -> None:
        mode = body.get("mode")
        content = body.get(str(mode)) if mode else None
        if mode == "raw" and isinstance(content, str) and content:
            self._raw_body(call, content, body)
        elif mode == "urlencoded":
            call.body = Body("form", self._form(content))
            self._implied(call, "application/x-www-form-urlencoded")
        elif mode == "formdata":
            call.body = Body("multipart", [self._part(call, part) for part in _enabled(content)])
            if (call.header("content-type") or "").lower().startswith("multipart/"):
                call.without_header("content-type")
        elif mode == "graphql" and isinstance(content, dict):
            call.body = Body("graphql", self._graphql(content))
            self._implied(call, "application/json")
        elif mode == "file" and isinstance(content, dict) and in_project(str(content.get("src") or "")):
            call.body = Body("body_file", str(content["src"]))
        elif mode == "file":
            self._found.left_out["bodies that are files"] += 1
            call.comments.append("Left out: the body is a file; put its content into body.")

    def _raw_body(self, call: Call, content: str, body: dict[str, Any]) -> None:
        options = body.get("options")
        raw = options.get("raw") if isinstance(options, dict) else None
        language = str(raw.get("language")) if isinstance(raw, dict) else ""
        given = call.header("content-type")
        kind = given or _LANGUAGES.get(language, "")
        value = json_body(content) if kind.partition(";")[0].strip().lower() == "application/json" else None
        if value is not None:
            call.body = Body("json", self._names.value(value[0]))
            self._implied(call, "application/json")
            return
        call.body = Body("body", self._names.text(content))
        if given is None and kind:
            call.headers.append(("Content-Type", kind))

    def _implied(self, call: Call, kind: str) -> None:
        """Leave the content type out where the body says it."""
        if (call.header("content-type") or "").strip().lower() == kind:
            call.without_header("content-type")

    def _form(self, content: Any) -> dict[str, Any]:
        fields: dict[str, list[str]] = {}
        for pair in _enabled(content):
            fields.setdefault(self._names.text(str(pair.get("key") or "")), []).append(
                self._names.text(str(pair.get("value") or ""))
            )
        return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}

    def _part(self, call: Call, part: dict[str, Any]) -> dict[str, str]:
        made = {"name": self._names.text(str(part.get("key") or ""))}
        if part.get("type") == "file":
            source = part.get("src")
            source = source[0] if isinstance(source, list) and source else source
            file = re.split(r"[/\\]", str(source or "file"))[-1]
            made |= {"content": f"content of {file}", "filename": file}
            self._found.left_out["files of form-data"] += 1
            call.comments.append(f"The file {file} is not read; put its content into the part {made['name']}.")
        else:
            made["value"] = self._names.text(str(part.get("value") or ""))
        if part.get("contentType"):
            made["content_type"] = str(part["contentType"])
        return made

    def _graphql(self, content: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"query": self._names.text(str(content.get("query") or ""))}
        variables = content.get("variables")
        parsed = json_body(variables) if isinstance(variables, str) and variables.strip() else None
        if parsed is not None:
            made["variables"] = self._names.value(parsed[0])
        elif isinstance(variables, dict):
            made["variables"] = self._names.value(variables)
        if isinstance(content.get("operationName"), str) and content["operationName"]:
            made["operation_name"] = content["operationName"]
        return made


def _basic(kind: str, values: dict[str, str]) -> dict[str, str]:
    return {"type": kind, "username": values.get("username", ""), "password": values.get("password", "")}


def _api_key(values: dict[str, str]) -> dict[str, str]:
    where = "query" if values.get("in") == "query" else "header"
    return {"type": "api_key", "name": values.get("key", "X-API-Key"), "in": where, "key": values.get("value", "")}


def _oauth2(values: dict[str, str]) -> dict[str, str] | None:
    """Client credentials as such; any other grant by its token."""
    if values.get("grant_type") == "client_credentials" and values.get("accessTokenUrl"):
        made = {"type": "oauth2", "token_url": values["accessTokenUrl"], "client_id": values.get("clientId", "")}
        made |= {"client_secret": values.get("clientSecret", ""), "scope": values.get("scope", "")}
        return made | ({"client_auth": "body"} if values.get("client_authentication") == "body" else {})
    return {"type": "bearer", "token": values.get("accessToken", "")}


_AUTHS: dict[str, Any] = {
    "basic": lambda values: _basic("basic", values),
    "digest": lambda values: _basic("digest", values),
    "bearer": lambda values: {"type": "bearer", "token": values.get("token", "")},
    "apikey": _api_key,
    "oauth2": _oauth2,
}


def _enabled(listed: Any) -> list[dict[str, Any]]:
    return (
        [one for one in listed if isinstance(one, dict) and one.get("disabled") is not True] if isinstance(listed, list) else []
    )
