"""What the embedded servers share: the data root, free ports, the account they run as, and their processes."""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from domain.errors import Conflict, Unavailable
from domain.values import dataclass

PORTS = range(20_000, 32_000)
"""Below the ephemeral range, where an outgoing connection cannot hold a port."""
_PR_SET_PDEATHSIG = 1


def data_root() -> Path:
    """Where data lives: TESTMESH_DATA_DIR, else /var/lib/testmesh for root, else the user's data folder."""
    chosen = os.environ.get("TESTMESH_DATA_DIR")
    if chosen:
        return Path(chosen).absolute()
    if os.getuid() == 0:
        return Path("/var/lib/testmesh")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "testmesh"


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a server runs as; None values mean the present one."""

    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Give a file or folder to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


ASKED_AGAIN = 3
"""How often a question to another process is asked when that process comes to no answer."""


def server_account() -> Account:
    """PostgreSQL refuses to run as root: use `postgres` where it exists, else `nobody`."""
    if os.getuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise Unavailable("as root, PostgreSQL needs an account `postgres` or `nobody`; give TESTMESH_DATABASE_URL instead")


def packaged(package: str, *inside: str) -> Path | None:
    """A file of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place).joinpath(*inside)
        if path.exists():
            return path
    return None


def reachable(path: Path, account: Account) -> bool:
    """Whether the account may read and enter the path (checked as that account)."""
    if account.uid is None:
        return os.access(path, os.X_OK)
    for _ in range(ASKED_AGAIN):
        command = ["test", "-x", str(path)]
        test = subprocess.run(command, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False)
        if test.returncode in (0, 1):
            return test.returncode == 0
    raise Unavailable(
        f"whether the account of the servers may run {path} cannot be told: `test -x` ends with {test.returncode}"
    )


def copied(source: Path, root: Path, account: Account) -> Path:
    """A copy of a folder of binaries below the data root, for an account that cannot reach the original; with the libraries
    that a wheel keeps beside its package (NAME.libs), where the binaries look for them."""
    target = root / "binaries" / source.name
    for one in (source.with_name(f"{source.name}.libs"), source):
        place = target.with_name(one.name)
        if one.exists() and not place.exists():
            partial = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
            shutil.copytree(one, partial, symlinks=True)
            os.chmod(place.parent, 0o755)  # noqa: S103 - binaries are for everybody
            partial.rename(place)
    return target


def kept_port(home: Path) -> int | None:
    """The port that a server had last; None when it had none, or when a full disk left its file empty."""
    try:
        return int((home / "port").read_text())
    except (OSError, ValueError):
        return None


def keep_port(home: Path, port: int) -> None:
    """Remember it. Nothing is written where it stands already: a disk that is full must not take it away."""
    if kept_port(home) != port:
        partial = home / f".port.{secrets.token_hex(4)}"
        try:
            partial.write_text(str(port))
            partial.rename(home / "port")
        finally:
            partial.unlink(missing_ok=True)


def free_port(kept: int | None) -> int:
    """The kept port when nobody holds it, else another free one on 127.0.0.1."""
    candidates = [kept] if kept else []
    candidates += random.sample(PORTS, 50)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable(f"no free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1")


def spawn(argv: Sequence[str], log: Path, account: Account, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a server whose output goes to a file and which ends when this process dies (SIGTERM from the kernel)."""
    parent = os.getpid()
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            user=account.uid,
            group=account.gid,
            extra_groups=[] if account.uid is not None else None,
            preexec_fn=die_with_parent,
            start_new_session=True,
        )


def wait_until(ready: Callable[[], bool], seconds: float, alive: Callable[[], bool], log: Path, name: str) -> None:
    """Poll until a server answers; Unavailable with the end of its log when it does not."""
    end = time.monotonic() + seconds
    while not ready():
        if not alive() or time.monotonic() > end:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise Unavailable(f"{name} did not start; the end of {log}:\n{tail}")
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    return state not in "ZX"


def end(pid: int, signals: Sequence[tuple[signal.Signals, float]], process: subprocess.Popen[bytes] | None) -> None:
    """Send each signal in turn and wait its seconds, until the process is gone."""
    for number, seconds in signals:
        if not is_alive(pid):
            break
        os.kill(pid, number)
        limit = time.monotonic() + seconds
        while is_alive(pid) and time.monotonic() < limit:
            time.sleep(0.02)
    if process is not None:
        process.wait()


class EmbeddedServer(ABC):
    """A server of ours below a data root, run as an account that may: what PostgreSQL and Valkey have in common."""

    stops: Sequence[tuple[signal.Signals, float]]
    """The signals that end it, each with the seconds that it is given."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._home = root / name
        self._log = self._home / f"{name}.log"
        self._account = server_account()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._port = 0

    @abstractmethod
    def start(self) -> str:
        """Start it, or adopt it when it still runs; the URL. What was acknowledged is there again."""

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._pid

    def ensure(self) -> None:
        """Start it again if it died."""
        if not self.alive():
            if self._process is not None:
                self._process.wait()
            self.start()

    def alive(self) -> bool:
        """Whether it runs."""
        if self._process is not None and self._process.poll() is not None:
            return False
        return self._pid is not None and is_alive(self._pid)

    def stop(self) -> None:
        """End it, the gentle way first; it keeps what was acknowledged in any case."""
        if self._pid is not None:
            end(self._pid, self.stops, self._process)
        self._pid = self._process = None

    def _make_home(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        if self._account.uid is not None:
            os.chmod(self._root, 0o711)  # noqa: S103 - the server's account must pass through
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._account.own(self._home)

    def _password(self) -> str:
        return secret_file(self._home / "password", self._account, lambda: secrets.token_urlsafe(32))


class RootLock:
    """One `up` a data root; the kernel drops the lock when its holder dies."""

    def __init__(self, root: Path) -> None:
        self._path = root / "up.lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Conflict names the process that holds it."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise Conflict(
                f"process {holder} already runs on {self._path.parent}: stop it, or set TESTMESH_DATA_DIR to another folder"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let another `up` in."""
        if self._file is not None:
            self._file.close()
            self._file = None


def secret_file(path: Path, account: Account, make: Callable[[], str]) -> str:
    """The content of a file that only its owner may read, made when it is missing."""
    if not path.exists():
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(make())
            account.own(partial)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
    return path.read_text().strip()
