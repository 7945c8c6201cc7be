"""The program as its users start it: `testmesh up` on a data folder of its own, and commands against it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interfaces.adapters.embedded import free_port
from tests.support.tied import tied

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """One data folder, and the processes started on it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port(None)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.output = folder / "up.out"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TESTMESH_")},
            "TESTMESH_DATA_DIR": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }

    def up(self, seconds: float = 60.0) -> int:
        """Start everything and wait until it is ready; the process id."""
        argv = tied(sys.executable, "-m", "interfaces.cli.main", "up", "--port", str(self.port), *self._options)
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                argv, env=self.environ, cwd=self.folder, stdout=output, stderr=output, start_new_session=True
            )
        end = time.monotonic() + seconds
        while b"ready: " not in self.output.read_bytes():
            assert self._process.poll() is None, self.output.read_text() + self.logs()
            assert time.monotonic() < end, self.output.read_text() + self.logs()
            time.sleep(0.05)
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL of `up` itself; its children end because it is gone."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, as Ctrl-C; the exit code."""
        if self._process is None or self._process.poll() is not None:
            return -1
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def run(self, *arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        """A command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "interfaces.cli.main", *arguments],
            env={**self.environ, **environ},
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        done = self.run(*arguments, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(self) -> Mapping[str, str]:
        """The saved credentials."""
        saved: Mapping[str, str] = json.loads((self.folder / "config" / "testmesh" / "credentials.json").read_text())
        return saved

    def database_url(self) -> str:
        """The URL of the embedded database."""
        home = self.folder / "data" / "postgres"
        password, port = (home / "password").read_text().strip(), (home / "port").read_text().strip()
        return f"postgresql://testmesh:{password}@127.0.0.1:{port}/testmesh"

    def valkey_url(self) -> str:
        """The URL of the embedded Valkey."""
        home = self.folder / "data" / "valkey"
        return f"redis://:{(home / 'password').read_text().strip()}@127.0.0.1:{(home / 'port').read_text().strip()}/0"

    def logs(self) -> str:
        """The ends of the roles' logs."""
        return "\n".join(path.read_text()[-2000:] for path in sorted((self.folder / "data" / "logs").glob("*.log")))


@contextmanager
def programs() -> Iterator[Callable[..., Program]]:
    """Makes programs with the given options, each on a new data folder; at the end of the block they stop."""
    made: list[Program] = []

    def make(*options: str) -> Program:
        folder = Path(tempfile.mkdtemp(prefix="tma"))
        folder.chmod(0o711)
        made.append(Program(folder, *options))
        return made[-1]

    try:
        yield make
    finally:
        for program in made:
            program.stop()
            shutil.rmtree(program.folder, ignore_errors=True)
