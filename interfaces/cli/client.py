"""The API as the command line uses it: one HTTP client, errors as refusals, and the event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import orjson

from domain.errors import Conflict, Forbidden, Invalid, NotFound, Refusal, Unavailable
from interfaces.cli.credentials import Credentials, find

TIMEOUT = 30.0
TRIES = 4
_KINDS: Mapping[int, type[Refusal]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    503: Unavailable,
}


class Client:
    """Calls of one server with one key. Use it as a context manager."""

    def __init__(self, credentials: Credentials) -> None:
        self.url = credentials.url
        self._key = credentials.key
        self._http = httpx.Client(
            base_url=credentials.url,
            headers={"Authorization": f"Bearer {credentials.key}"},
            timeout=TIMEOUT,
            trust_env=False,
            verify=credentials.url.startswith("https"),
        )
        self._workspace: str | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def workspace(self) -> str:
        """The workspace of the key."""
        if self._workspace is None:
            self._workspace = str(self.get("/api/v1/whoami")["workspace"])
        return self._workspace

    def room(self, path: str = "") -> str:
        """A path below the workspace."""
        return f"/api/v1/workspaces/{self.workspace}{path}"

    def get(self, path: str, **query: Any) -> Any:
        """Read something; `query` without its None values."""
        return self.call("GET", path, params={name: _text(value) for name, value in query.items() if value is not None})

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON, or its text. A refusal of the server is raised as ours, its remedy included."""
        return self._read(self._send(method, path, options))

    def command(self, method: str, path: str, body: Any, **headers: str) -> tuple[Any, str | None]:
        """The answer of a command and the position of its event."""
        options = {"content": orjson.dumps(body), "headers": {"Content-Type": "application/json", **headers}}
        response = self._send(method, path, options)
        return self._read(response), response.headers.get("X-Event-Position")

    def pages(self, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """The first `limit` items of a list."""
        items: list[dict[str, Any]] = []
        cursor = None
        while len(items) < limit:
            page = self.get(path, cursor=cursor, limit=min(200, limit - len(items)), **query)
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return items

    def _send(self, method: str, path: str, options: Mapping[str, Any]) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"no answer from {self.url}: {error or type(error).__name__}",
                remedy="is the server running? start one with `testmesh up`, or set TESTMESH_URL",
            ) from error

    def _read(self, response: httpx.Response) -> Any:
        if response.is_success:
            if response.headers.get("content-type", "").startswith("application/json"):
                return orjson.loads(response.content)
            return response.text
        raise self._refusal(response)

    def _refusal(self, response: httpx.Response) -> Refusal:
        try:
            found = orjson.loads(response.content)
            title, code, remedy = found["title"], found["code"], found.get("remedy")
            problems = found.get("problems") or []
        except (orjson.JSONDecodeError, KeyError, TypeError):
            title, code, remedy, problems = f"{self.url} answered {response.status_code}", "http", "is this a TestMesh?", []
        kind = _KINDS.get(response.status_code, Unavailable)
        text = "\n".join([title, *(f"{p['file']}:{p['line']}:{p['column']}: {p['title']}" for p in problems)])
        return kind(text, code=code, remedy=remedy)

    async def events(self, topic: str, begin: str = "start") -> AsyncIterator[dict[str, Any]]:
        """Events of a topic from a position on, across lost connections, until its end. Unavailable after some tries."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, WebSocketException

        failures = 0
        while True:
            try:
                headers = {"Authorization": f"Bearer {self._key}"}
                address = self.url.replace("http", "ws", 1) + "/ws"
                async with connect(address, additional_headers=headers, proxy=None, max_size=2**22) as socket:
                    await socket.send(orjson.dumps({"type": "subscribe", "id": "1", "topic": topic, "from": begin}).decode())
                    async for text in socket:
                        message = orjson.loads(text)
                        failures = 0
                        begin = message.get("position", begin)
                        if message["type"] == "error":
                            raise _refused(message["problem"])
                        if message["type"] == "event":
                            yield message
                        if message["type"] == "end":
                            return
            except (OSError, WebSocketException) as error:
                failures += 1
                if failures >= TRIES or (isinstance(error, InvalidHandshake) and failures > 1):
                    raise Unavailable(f"the event stream of {self.url} is not there: {error}") from error
                await asyncio.sleep(0.5 * failures)


def _refused(problem: Mapping[str, Any]) -> Refusal:
    kind = _KINDS.get(problem["status"], Unavailable)
    return kind(problem["title"], code=problem["code"], remedy=problem.get("remedy"))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def connect_client(url: str | None = None) -> Client:
    """A client of the server that flags, environment and files name."""
    return Client(find(url))
