"""Who a request comes from: basic, bearer, api_key, digest, and oauth2 with client credentials."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from application.actions.http_headers import basic_value, read_headers, value_checked
from application.actions.http_messages import Pairs
from application.actions.http_url import Url, bare, read_url
from application.engine.action import ActionContext, ActionError
from domain.values import dataclass

if TYPE_CHECKING:
    from application.actions.http_client import Ask, HttpClient
    from application.actions.http_digest import Digest

_EARLY = 30.0
_TOKEN_SECONDS = 300.0
_KEYS = {
    "basic": ({"username"}, {"password"}),
    "bearer": ({"token"}, set[str]()),
    "api_key": ({"key"}, {"name", "in"}),
    "digest": ({"username"}, {"password"}),
    "oauth2": ({"token_url", "client_id", "client_secret"}, {"scope", "audience", "client_auth", "grant_type"}),
}
_OTHER_NAMES = {
    "user": "username",
    "value": "key",
    "api_key": "key",
    "header": "name",
    "scopes": "scope",
    "access_token": "token",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is added to a request: headers, names in the query, or the answers to a digest challenge."""

    headers: Pairs = field(default_factory=list)
    query: Mapping[str, str] = field(default_factory=dict)
    digest: Digest | None = None


async def credentials(
    value: Any, context: ActionContext, client: HttpClient, make: Callable[[str, Url, Pairs, bytes], Ask]
) -> Credentials:
    """What `auth` asks for; every secret in it is told to the masker. `make` makes the request for a token from method, URL,
    headers and body, with the TLS and proxy of the step."""
    if value is None:
        return Credentials()
    kind, auth = _read(value)
    for name in ("password", "token", "key", "client_secret"):
        if auth.get(name):
            context.secrets(auth[name])
    if kind == "oauth2":
        return _bearer(await _token(auth, context, client, make), context)
    if kind == "bearer":
        return _bearer(auth["token"], context)
    if kind == "api_key":
        return _api_key(auth)
    if kind == "digest":
        from application.actions.http_digest import Digest

        return Credentials(digest=Digest(auth["username"], auth.get("password", "")))
    return basic(auth["username"], auth.get("password", ""), context)


def basic(user: str, password: str, context: ActionContext) -> Credentials:
    """RFC 7617, in UTF-8."""
    value = basic_value(user, password)
    if password:
        context.secrets(password)
    context.secrets(value)
    return Credentials([("Authorization", value)])


def _read(value: Any) -> tuple[str, dict[str, str]]:
    if not isinstance(value, Mapping):
        raise ActionError("config", "auth is an object with a type")
    kind = str(value.get("type", "")).lower().replace("-", "_")
    if kind not in _KEYS:
        raise ActionError("config", f"not a type of auth: {kind or 'none'}", hint=f"one of {', '.join(_KEYS)}")
    auth = {
        _OTHER_NAMES.get(str(key), str(key)): str(item) for key, item in value.items() if key != "type" and item is not None
    }
    required, optional = _KEYS[kind]
    missing, unknown = required - auth.keys(), auth.keys() - required - optional
    if missing or unknown:
        wrong = f"needs {', '.join(sorted(missing))}" if missing else f"does not know {', '.join(sorted(unknown))}"
        raise ActionError("config", f"auth of type {kind} {wrong}", hint=f"keys: {', '.join(sorted(required | optional))}")
    return kind, auth


def _bearer(token: str, context: ActionContext) -> Credentials:
    context.secrets(token)
    return Credentials([("Authorization", f"Bearer {value_checked('Authorization', token)}")])


def _api_key(auth: Mapping[str, str]) -> Credentials:
    name, where = auth.get("name", "X-API-Key"), auth.get("in", "header")
    if where not in ("header", "query"):
        raise ActionError("config", "an api_key is in the header or in the query")
    if where == "query":
        return Credentials(query={name: auth["key"]})
    return Credentials(read_headers({name: auth["key"]}, {}))


async def _token(
    auth: Mapping[str, str], context: ActionContext, client: HttpClient, make: Callable[[str, Url, Pairs, bytes], Ask]
) -> str:
    """A token that is still good, or a new one (RFC 6749 section 4.4)."""
    known = tuple(f"{name}={value}" for name, value in sorted(auth.items()))
    token, ends = client.tokens.get(known, ("", 0.0))
    if time.monotonic() < ends:
        return token
    answer = await client.ask(_token_request(auth, context, make))
    granted = _granted(answer.response.status, bytes(answer.body.kept))
    token = str(granted["access_token"])
    seconds = granted.get("expires_in")
    lasts = float(seconds) if isinstance(seconds, int | float) else _TOKEN_SECONDS
    client.tokens[known] = (token, time.monotonic() + max(0.0, lasts - _EARLY))
    return token


def _token_request(auth: Mapping[str, str], context: ActionContext, make: Callable[[str, Url, Pairs, bytes], Ask]) -> Ask:
    if auth.get("grant_type", "client_credentials") != "client_credentials":
        raise ActionError("config", "oauth2 knows the grant client_credentials")
    if auth.get("client_auth", "basic") not in ("basic", "body"):
        raise ActionError("config", "client_auth is basic or body")
    form = {"grant_type": "client_credentials", **{name: auth[name] for name in ("scope", "audience") if name in auth}}
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")]
    if auth.get("client_auth") == "body":
        form |= {"client_id": auth["client_id"], "client_secret": auth["client_secret"]}
    else:
        value = basic_value(quote_plus(auth["client_id"]), quote_plus(auth["client_secret"]))
        context.secrets(value)
        headers.append(("Authorization", value))
    return make("POST", bare(read_url(auth["token_url"], context)), headers, urlencode(form).encode())


def _granted(status: int, content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if status == 200 and isinstance(answer, dict) and isinstance(answer.get("access_token"), str):
        return answer
    reason = str(answer.get("error", "")) if isinstance(answer, dict) else ""
    raise ActionError(
        "auth", f"no token: the token server answered {status} {reason}".strip(), hint="check client_id and scope"
    )
