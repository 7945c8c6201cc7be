"""The API as the command line uses it: one HTTP client, and errors as refusals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import orjson

from domain.errors import Refusal, Unavailable
from interfaces.cli.credentials import Credentials, find
from interfaces.cli.refused import of_answer

if TYPE_CHECKING:
    from interfaces.cli.stream import Stream

TIMEOUT = 30.0
AGAIN_SECONDS, MOST_AGAIN_SECONDS = 0.5, 10.0
_PASSING = frozenset({429, 502, 503, 504})
"""Statuses of answers with which nothing was done, and which may be others a moment later."""


class Client:
    """Calls of one server with one key. Use it as a context manager.

    By itself it asks once. Once it is `patient`, what may be asked twice is asked again while the server is away or busy, or
    its read models are behind: reading, and commands that say so.
    """

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
        self._patience = 0.0
        self._note: Callable[[str], None] = lambda text: None
        self._given_up = threading.Event()

    def be_patient(self, seconds: float, note: Callable[[str], None]) -> None:
        """From now on, ask again for so long; `note` hears of it."""
        self._patience, self._note = seconds, note

    def give_up(self) -> None:
        """Whoever asks again at this moment is told what the last answer was."""
        self._given_up.set()

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

    def command(self, method: str, path: str, body: Any, *, twice: bool = False, **headers: str) -> tuple[Any, str | None]:
        """The answer of a command and the position of its event; `twice` says that sending it again does no harm."""
        options = {"content": orjson.dumps(body), "headers": {"Content-Type": "application/json", **headers}}
        response = self._send(method, path, options, twice=twice)
        return self._read(response), response.headers.get("X-Event-Position")

    def command_and_wait(self, method: str, path: str, body: Any) -> None:
        """A command whose answer says nothing. Returns when every answer of the server knows of it, or when its read models
        are so far behind that they are not waited for: it is done all the same."""
        _, position = self.command(method, path, body)
        try:
            self.get(self.room(), min_position=position)
        except Refusal as refusal:
            if refusal.code != "position_not_reached":
                raise

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

    def _send(self, method: str, path: str, options: Mapping[str, Any], *, twice: bool = False) -> httpx.Response:
        end = time.monotonic() + (self._patience if twice or method == "GET" else 0.0)
        noted = False
        while True:
            response, lost = self._sent(method, path, options)
            why, pause = _passing(response) if response is not None else (str(lost) or type(lost).__name__, AGAIN_SECONDS)
            if not why or time.monotonic() + pause > end or self._given_up.is_set():
                break
            if not noted:
                self._note(f"{self.url}: {why}; trying for {self._patience:.0f} s to go on")
                noted = True
            self._given_up.wait(pause)
        if response is not None:
            return response
        raise Unavailable(
            f"no answer from {self.url}: {why}",
            remedy="is the server running? start one with `testmesh up`, or set TESTMESH_URL",
        ) from lost

    def _sent(
        self, method: str, path: str, options: Mapping[str, Any]
    ) -> tuple[httpx.Response, None] | tuple[None, httpx.HTTPError]:
        try:
            return self._http.request(method, path, **options), None
        except httpx.HTTPError as error:
            return None, error

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


def _passing(response: httpx.Response) -> tuple[str, float]:
    """Why an answer may be another one later, and in how many seconds; no reason when it will not."""
    behind = response.status_code == 409 and b'"position_not_reached"' in response.content
    if not behind and response.status_code not in _PASSING:
        return "", 0.0
    told = response.headers.get("Retry-After", "")
    pause = float(told) if told.isdecimal() else AGAIN_SECONDS
    return of_answer(str(response.url.host), response.status_code, response.content).message, min(pause, MOST_AGAIN_SECONDS)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def connect_client(url: str | None = None) -> Client:
    """A client of the server that flags, environment and files name."""
    return Client(find(url))
