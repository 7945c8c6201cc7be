"""The package that docs/plugins.md shows is built and installed, and its action behaves like a built-in one."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.documentation import ROOT
from tests.support.plugins import documented_flow, install_documented

Call = Callable[..., "subprocess.CompletedProcess[str]"]
TOKEN = "lines-and-secrets"


class _Greeter(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        *_, word = self.rfile.readline().decode().split()
        self.wfile.write(f"{word} to you\n".encode())


@pytest.fixture(scope="module")
def line_port() -> Iterator[int]:
    """A server that greets back."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Greeter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed."""
    home = tmp_path_factory.mktemp("plugin")
    install_documented(home / "acme-lines", home / "site")
    return home / "site"


@pytest.fixture
def testmesh(installed: Path, tmp_path: Path) -> Call:
    """The program, beside the package, in a folder with the flow of the page."""
    (tmp_path / "flow.yaml").write_text(documented_flow())
    environ = {**os.environ, "PYTHONPATH": f"{installed}:{ROOT}", "NO_COLOR": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environ |= {"TESTMESH_DATA_DIR": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "interfaces.cli.main", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return call


def test_its_step_runs_and_its_secret_is_masked(testmesh: Call, line_port: int, tmp_path: Path) -> None:
    done = testmesh(
        "run", "flow.yaml", f"--var=line_port={line_port}", f"--var=line_token={TOKEN}", "--report=json=r.json", "-v"
    )

    report = (tmp_path / "r.json").read_text()
    (execution,) = json.loads(report)["executions"]
    assert (done.returncode, execution["verdict"]) == (0, "passed"), done.stdout + done.stderr
    assert TOKEN not in report + done.stdout + done.stderr
    assert "hello to you" in report


def test_it_runs_in_child_processes_too(testmesh: Call, line_port: int, tmp_path: Path) -> None:
    (tmp_path / "again.yaml").write_text(documented_flow())

    done = testmesh("run", ".", "-j", "2", f"--var=line_port={line_port}", f"--var=line_token={TOKEN}")

    assert done.returncode == 0, done.stdout + done.stderr


def test_nobody_listening_is_an_error_with_its_hint(testmesh: Call) -> None:
    done = testmesh("run", "flow.yaml", "--var=line_port=1", f"--var=line_token={TOKEN}")

    assert done.returncode == 3
    assert "is the server running?" in done.stdout


def test_its_keys_are_checked_with_place_and_remedy(testmesh: Call, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(documented_flow().replace("line: hello", "lime: hello"))

    done = testmesh("validate", "flow.yaml")

    assert done.returncode == 2
    assert "flow.yaml:5:" in done.stdout
    assert 'acme.ask has no key "lime"' in done.stdout
    assert "line" in done.stdout


def test_a_misspelled_name_finds_it(testmesh: Call, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(documented_flow().replace("acme.ask", "acme.aks"))

    assert 'did you mean "acme.ask"?' in testmesh("validate", "flow.yaml").stdout.lower()


def test_the_reference_the_schema_and_doctor_know_it(testmesh: Call) -> None:
    schema = json.loads(testmesh("schema").stdout)

    assert "line" in schema["$defs"]["config.acme.ask"]["properties"]
    assert "`token` | string" in testmesh("docs", "acme_ask").stdout
    assert "acme.ask " in testmesh("docs").stdout
    assert "ok       action acme.ask: acme-lines 1.0" in testmesh("doctor").stdout


def test_its_flow_is_formatted(testmesh: Call, tmp_path: Path) -> None:
    done = testmesh("fmt", "flow.yaml")

    assert done.returncode == 0, done.stderr
    assert "acme.ask" in (tmp_path / "flow.yaml").read_text()
