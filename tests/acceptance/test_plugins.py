"""An action of an installed package runs on a worker as it runs here; one that is missing there is refused when it is sent."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.plugins import documented_flow, install_documented
from tests.support.program import ROOT, Program

pytestmark = pytest.mark.system
TOKEN = "lines-and-secrets"


class _Greeter(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        *_, word = self.rfile.readline().decode().split()
        self.wfile.write(f"{word} to you\n".encode())


@pytest.fixture
def line_port() -> Iterator[int]:
    """A server that greets back."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Greeter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_it_runs_on_a_worker_through_its_egress(new_program: Callable[..., Program], line_port: int, tmp_path: Path) -> None:
    install_documented(tmp_path / "acme-lines", tmp_path / "site")
    program = new_program("--allow", f"127.0.0.1:{line_port}")
    program.environ["PYTHONPATH"] = f"{tmp_path / 'site'}:{ROOT}"
    (program.folder / "flow.yaml").write_text(documented_flow())
    variables = [f"--var=line_port={line_port}", f"--var=line_token={TOKEN}"]
    program.up()

    there = program.run("run", "--remote", "flow.yaml", *variables)
    refused = program.run("run", "--remote", "flow.yaml", "--var=line_port=1", f"--var=line_token={TOKEN}")
    unknown = program.run("run", "--remote", "flow.yaml", *variables, PYTHONPATH=str(ROOT))

    assert there.returncode == 0, there.stdout + there.stderr + program.logs()
    assert "may not be reached from here" in refused.stdout, refused.stdout + refused.stderr
    assert (unknown.returncode, 'There is no action "acme.ask"' in unknown.stderr) == (2, True), unknown.stderr
