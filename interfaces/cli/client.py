"""The API as the command line uses it: one HTTP client, and errors as refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import orjson

from domain.errors import Unavailable
from interfaces.cli.credentials import Credentials, find
from interfaces.cli.refused import of_answer

if TYPE_CHECKING:
    from interfaces.cli.stream import Stream

TIMEOUT = 30.0


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

    def room(self, path: str = "", name: str | None = None, rest: str = "") -> str:
        """A path below the workspace; `name` is what people typed, as one segment of it, with `rest` behind it."""
        typed = "" if name is None else f"/{quote(name, safe='').replace('.', '%2E') or '%20'}"
        return f"/api/v1/workspaces/{self.workspace}{path}{typed}{rest}"

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

    def remove(self, path: str) -> None:
        """Delete something, and wait until every answer of the server knows."""
        response = self._send("DELETE", path, {})
        self._read(response)
        self.get(self.room(), min_position=response.headers.get("X-Event-Position"))

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
        raise of_answer(self.url, response.status_code, response.content)

    def stream(self, topics: Sequence[str], **options: Any) -> Stream:
        """The event stream of topics."""
        from interfaces.cli.stream import Stream

        return Stream(self.url, self._key, topics, **options)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def connect_client(url: str | None = None) -> Client:
    """A client of the server that flags, environment and files name."""
    return Client(find(url))
