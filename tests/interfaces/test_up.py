"""`testmesh up` says that it is ready when what it has just said can be used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from domain.errors import Unavailable
from interfaces import up
from interfaces.settings import Settings, load

Answers = dict[str, list[int]]


@contextmanager
def server(answers: Answers) -> Iterator[tuple[Settings, list[tuple[str, str | None]]]]:
    """Answers with these statuses by path, the last one again and again; its settings, and what was asked with which key."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            left = answers[self.path]
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield replace(Settings(), host="127.0.0.1", port=listening.server_port), asked
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def test_it_waits_until_the_new_key_is_known() -> None:
    with server({"/ready": [503, 200], "/api/v1/whoami": [401, 401, 200]}) as (settings, asked):
        up._wait_until_ready(settings, threading.Event(), "secret-key")
    assert asked == [("/ready", None)] * 2 + [("/api/v1/whoami", "Bearer secret-key")] * 3


def test_a_later_start_has_no_key_to_wait_for() -> None:
    with server({"/ready": [200]}) as (settings, asked):
        up._wait_until_ready(settings, threading.Event(), None)
    assert asked == [("/ready", None)]


def test_what_never_becomes_ready_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "READY_SECONDS", 0.3)
    with server({"/ready": [503]}) as (settings, _), pytest.raises(Unavailable, match="does not become ready"):
        up._wait_until_ready(settings, threading.Event(), None)


def test_the_file_of_settings_is_handed_on_to_every_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('[worker]\nlabels = ["gpu"]\nconcurrency = 3\n[egress]\nallow = ["127.0.0.1"]\n')
    monkeypatch.chdir(tmp_path)
    settings, _ = load({}, Path("mine.toml"))
    handed = up.environment(replace(settings, egress_allow=("127.0.0.1", "10.0.0.1")), "mine.toml")
    assert Path(handed["TESTMESH_CONFIG"]).is_absolute()
    found, _ = load(handed, Path(handed["TESTMESH_CONFIG"]))
    assert (found.worker_labels, found.worker_concurrency, found.egress_allow) == (("gpu",), 3, ("127.0.0.1", "10.0.0.1"))
