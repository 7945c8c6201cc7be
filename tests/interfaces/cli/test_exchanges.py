"""`run --show-response` and `--curl`, against a real server; and replay as a conversation on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.interfaces.cli.conftest import Ran
from tests.support.tied import tied

Testmesh = Callable[..., Ran]
ROOT = Path(__file__).resolve().parents[3]


class Answers(BaseHTTPRequestHandler):
    """Says where it was asked."""

    def do_GET(self) -> None:
        if self.path.startswith("/old"):
            self.send_response(302)
            self.send_header("Location", "/long")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = b"long " * 200 if self.path == "/long" else f"you asked for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quietly."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def flow(folder: Path, url: str) -> Path:
    path = folder / "f.yaml"
    path.write_text(
        "flow:\n  name: f\n  steps:\n"
        f"    - {{id: good, action: http_request, config: {{method: GET, url: '{url}/good'}}}}\n"
        f"    - {{id: bad, action: http_request, config: {{method: GET, url: '{url}/bad'}}, assert: [status == 201]}}\n"
    )
    return path


@pytest.mark.parametrize(("wanted", "good", "bad"), [("always", True, True), ("failed", False, True), ("never", False, False)])
def test_responses_are_shown_as_wanted(testmesh: Testmesh, flow: Path, wanted: str, good: bool, bad: bool) -> None:
    out = testmesh("run", "f.yaml", "--show-response", wanted).out
    assert ("< you asked for /good" in out, "< you asked for /bad" in out) == (good, bad)
    assert "assertion failed: status == 201" in out


def test_curl_is_shown_for_every_request(testmesh: Testmesh, flow: Path, url: str) -> None:
    lines = [line.strip() for line in testmesh("run", "f.yaml", "--curl", "--show-response", "never").out.splitlines()]
    assert [line for line in lines if line.startswith("curl")] == [f"curl {url}/good", f"curl {url}/bad"]


def test_on_a_terminal_replay_goes_where_it_is_told(testmesh: Testmesh, flow: Path, folder: Path) -> None:
    assert testmesh("run", "f.yaml", "--save", "run.tmrun").code == 1
    master, slave = pty.openpty()
    command = [sys.executable, "-P", "-m", "interfaces.cli.main", "replay", "run.tmrun"]
    process = subprocess.Popen(
        tied(*command), stdin=slave, stdout=slave, stderr=slave, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    os.close(slave)
    os.write(master, b"1\np\nn\ne nowhere\nl\nc\nwhat\nq\n")
    said = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(master)
    assert process.wait(timeout=30) == 0
    text = said.decode()
    assert text.count("requested") == 2
    assert "attempt_started" in text
    assert "there is no execution 'nowhere'" in text
    assert "1 assertion evaluated again over the record: 1 equal" in text


def test_always_shows_all_of_it_with_headers_and_redirects(testmesh: Testmesh, folder: Path, url: str) -> None:
    (folder / "g.yaml").write_text(
        f"flow: {{name: g, steps: [{{action: http_request, config: {{method: GET, url: '{url}/old', headers: {{X-A: b}}}}}}]}}"
    )
    lines = [line.strip() for line in testmesh("run", "g.yaml", "--show-response", "always").out.splitlines()]
    assert f"> GET {url}/old" in lines
    assert "> X-A: b" in lines
    assert "< 302 to /long" in lines
    assert "< Content-Length: 1000" in lines
    assert f"< {'long ' * 200}".strip() in lines
    assert "< 302 to /long" not in testmesh("run", "g.yaml").out
