"""The supervisor of `testmesh up`: embedded servers and role processes, started in order, restarted, stopped in order."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from domain.errors import Refusal
from domain.values import dataclass
from interfaces.signals import Stop

_PR_SET_PDEATHSIG = 1
MAX_PAUSE = 10.0
CALM_SECONDS = 5.0
"""A role that ran this long is restarted without a pause."""
logger = logging.getLogger("testmesh.supervisor")


class Server(Protocol):
    """An embedded server."""

    def ensure(self) -> None:
        """Start it again if it died."""
        ...

    def stop(self) -> None:
        """Stop it."""
        ...


@dataclass(slots=True)
class Role:
    """One role process: `arguments` of the program, how many seconds it may take to stop, and its own environment."""

    name: str
    arguments: Sequence[str]
    patience: float = 10.0
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    due: float = field(default=0.0)


class Supervisor:
    """Looks after processes until it is told to stop. `roles` are stopped in their order, servers last, backwards."""

    def __init__(
        self, roles: Sequence[Role], servers: Sequence[Server], environ: Mapping[str, str], logs: Path | None = None
    ) -> None:
        """`logs` is a folder for the roles' output; None lets them write to this process's own stderr."""
        self.roles = list(roles)
        self._servers = list(servers)
        self._environ = dict(environ)
        self._logs = logs

    def start(self) -> None:
        """Start every role."""
        for role in self.roles:
            self._spawn(role)

    def watch(self, stop: Stop, interval: float = 0.5) -> None:
        """Restart what ends, until stopped."""
        while not stop.wait(interval):
            for server in self._servers:
                try:
                    server.ensure()
                except Refusal as error:
                    logger.error("%s", error)
                except Exception:  # a full disk, a server that died as it came: who looks after everything goes on
                    logger.exception("a server could not be started; it is tried again")
            for role in self.roles:
                try:
                    self._ensure(role)
                except OSError as error:
                    logger.error("%s could not be started and is tried again: %s", role.name, error)

    def stop(self) -> None:
        """SIGTERM to the roles, one after another; SIGKILL to those that do not end; then the servers."""
        for role in self.roles:
            if role.process is not None and role.process.poll() is None:
                role.process.send_signal(signal.SIGTERM)
        for role in self.roles:
            self._end(role)
        for server in reversed(self._servers):
            server.stop()

    def _ensure(self, role: Role) -> None:
        process = role.process
        if process is not None and process.poll() is None:
            return
        now = time.monotonic()
        if process is not None:
            calm = now - role.started_at > CALM_SECONDS
            role.failures = 0 if calm else role.failures + 1
            role.due = now + min(0.2 * 2**role.failures, MAX_PAUSE)
            logger.error("%s ended with %s and is started again", role.name, process.returncode)
            role.process = None
        if now >= role.due:
            self._spawn(role)

    def _spawn(self, role: Role) -> None:
        parent = os.getpid()
        libc = ctypes.CDLL(None)

        def die_with_parent() -> None:
            if hasattr(libc, "prctl"):
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != parent:
                    os._exit(1)

        argv = [sys.executable, "-m", "interfaces.cli.main", *role.arguments]
        environ = {**self._environ, **role.environ}
        role.started_at = time.monotonic()
        if self._logs is None:
            role.process = subprocess.Popen(argv, env=environ, preexec_fn=die_with_parent, start_new_session=True)
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{role.name}.log").open("ab") as output:
            role.process = subprocess.Popen(
                argv,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
                start_new_session=True,
            )

    def _end(self, role: Role) -> None:
        if role.process is None:
            return
        try:
            role.process.wait(role.patience)
        except subprocess.TimeoutExpired:
            logger.error("%s does not end and is killed", role.name)
            role.process.kill()
            role.process.wait()


def holder_of(port: int) -> str:
    """Who listens on a local port, as well as /proc says."""
    wanted = f"{port:04X}"
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        inodes |= {line.split()[9] for line in lines if line.split()[1].endswith(f":{wanted}") and line.split()[3] == "0A"}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _holds(folder, inodes):
            return f"process {folder.name} ({(folder / 'comm').read_text().strip()})"
    return "another process"


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(fd) in {f"socket:[{inode}]" for inode in inodes} for fd in (process / "fd").iterdir())
    except OSError:
        return False
