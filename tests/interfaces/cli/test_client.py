"""The client of a server: it asks once, and patiently where that was wanted. The server is a real HTTP server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from domain.errors import Conflict, NotFound, Refusal, Unavailable
from interfaces.cli.client import Client
from interfaces.cli.credentials import Credentials
from interfaces.cli.errors import ExitCode, fail
from interfaces.cli.running.remote_following import goes_on, sendable

Asked = list[tuple[str, str]]
AWAY = (503, "unavailable")
BEHIND = (409, "position_not_reached")
BUSY = (429, "queue_full")


@contextmanager
def server(*answers: tuple[int, str]) -> Iterator[tuple[str, Asked]]:
    """A server that gives these answers (status, code of the problem), the last one again and again; status 0 hangs up."""
    left, asked = list(answers), Asked()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            asked.append((self.command, self.headers.get("Idempotency-Key", "")))
            status, code = left.pop(0) if len(left) > 1 else left[0]
            if not status:
                self.close_connection = True
                return
            body = orjson.dumps({"title": f"says {code}", "code": code, "status": status})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", asked
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def patient(url: str, seconds: float = 30.0, note: Callable[[str], None] = lambda text: None) -> Client:
    client = Client(Credentials(url, "k"))
    client.be_patient(seconds, note)
    return client


def test_by_itself_it_asks_once() -> None:
    with server(AWAY) as (url, asked), Client(Credentials(url, "k")) as client, pytest.raises(Unavailable):
        client.get("/")
    assert len(asked) == 1


@pytest.mark.parametrize("first", [AWAY, BEHIND, BUSY, (0, ""), (502, "proxy")])
def test_a_patient_one_asks_again_until_the_server_is_there(first: tuple[int, str]) -> None:
    notes: list[str] = []
    with server(first, first, (200, "there")) as (url, asked), patient(url, note=notes.append) as client:
        assert client.get("/")["code"] == "there"
    assert (len(asked), len(notes)) == (3, 1)
    assert "trying for 30 s to go on" in notes[0]


def test_what_will_not_change_is_said_at_once() -> None:
    with server((404, "not_found")) as (url, asked), patient(url) as client, pytest.raises(NotFound):
        client.get("/")
    assert len(asked) == 1


def test_patience_ends_with_the_last_answer() -> None:
    with server(BEHIND) as (url, _), patient(url, 0.3) as client, pytest.raises(Conflict, match="says position_not_reached"):
        client.get("/")


def test_a_command_is_repeated_only_where_that_does_no_harm() -> None:
    with server(AWAY, (200, "done")) as (url, asked), patient(url) as client:
        with pytest.raises(Unavailable):
            client.command("POST", "/", {})
        assert client.command("POST", "/", {}, twice=True, **{"Idempotency-Key": "k"})[0]["code"] == "done"
    assert asked == [("POST", ""), ("POST", "k")]


def test_whoever_waits_can_be_told_to_give_up() -> None:
    with server(AWAY) as (url, _), patient(url) as client:
        begun = time.monotonic()
        threading.Timer(0.2, client.give_up).start()
        with pytest.raises(Unavailable):
            client.get("/")
        assert time.monotonic() - begun < 5


def test_every_request_has_a_key_of_its_own_or_the_one_that_was_given() -> None:
    assert sendable("build 7 ä") == "build 7 ?"
    assert sendable(None) != sendable(None)


def test_what_is_refused_while_something_runs_is_no_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unavailable) as caught, goes_on("7; see `testmesh runs follow 7`"):
        raise Refusal("the key is not valid", code="unauthenticated", remedy="make a new key")
    assert fail(caught.value) == ExitCode.ERROR
    told = "error: the key is not valid\n  = make a new key; the server goes on with 7; see `testmesh runs follow 7`\n"
    assert capsys.readouterr().err == told
