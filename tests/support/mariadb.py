"""A real MariaDB for tests, from the server of the machine's packages; without one, the tests that need it are skipped."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interfaces.adapters import embedded
from tests.support.http_server import Identity, new_identity

_MISSING = "mariadbd is missing: install Debian's package mariadb-server-core"
_SQL = Path("/usr/share/mysql")
_TABLES = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
_PASSWORD = "pass'ü@/word"


class MariaDb:
    """One server on 127.0.0.1 with the user `ann`, who may do everything; it speaks TLS too."""

    def __init__(self, root: Path, program: str) -> None:
        self._home = root / "mariadb"
        self._program = program
        self._account = embedded.server_account()
        self._process: subprocess.Popen[bytes] | None = None
        self._home.mkdir()
        self.identity: Identity = new_identity(self._home)
        self.port = embedded.free_port(None)
        self.password = _PASSWORD

    def url(self, database: str = "") -> str:
        """Where a database of it is."""
        return f"mysql://ann:pass'%C3%BC%40%2Fword@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Make its tables and its user, as mariadb-install-db does, which wants programs of further packages."""
        data = self._home / "data"
        data.mkdir()
        for path in (self._home, data, self.identity.file):
            self._account.own(path)
        quoted = _PASSWORD.replace("'", "''")
        script = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
        script += "".join((_SQL / name).read_text() for name in _TABLES)
        script += f"FLUSH PRIVILEGES;\nCREATE USER ann IDENTIFIED BY '{quoted}';\nGRANT ALL ON *.* TO ann WITH GRANT OPTION;\n"
        done = subprocess.run(
            [*self._command(), "--bootstrap"],
            input=script.encode(),
            capture_output=True,
            cwd=self._home,
            timeout=60,
            user=self._account.uid,
            group=self._account.gid,
            extra_groups=[] if self._account.uid is not None else None,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = (
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            f"--socket={self._home}/s",
            f"--pid-file={self._home}/pid",
            f"--ssl-cert={self.identity.file}",
            f"--ssl-key={self.identity.file}",
            "--skip-name-resolve",
            "--local-infile=ON",
        )
        log = self._home / "log"
        self._process = embedded.spawn([*self._command(), *options], log, self._account, self._home)
        embedded.wait_until(
            self._answers, 60, lambda: self._process is not None and self._process.poll() is None, log, "MariaDB"
        )

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            embedded.end(self._process.pid, [(signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)], self._process)
            self._process = None

    def make_database(self, name: str) -> str:
        """A new empty database; its URL."""
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str | None = None) -> tuple[tuple[object, ...], ...]:
        """Run a statement apart from what is tested."""
        import pymysql

        with (
            pymysql.connect(
                host="127.0.0.1",
                port=self.port,
                user="ann",
                password=_PASSWORD.encode(),  # type: ignore[arg-type]
                database=database,
                autocommit=True,
                connect_timeout=3,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def _command(self) -> list[str]:
        """It reads none of the machine's files of options, and does not care for the disk."""
        return [
            self._program,
            "--no-defaults",
            f"--datadir={self._home}/data",
            f"--tmpdir={self._home}",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            "--skip-log-bin",
        ]

    def _answers(self) -> bool:
        import pymysql

        try:
            return self.execute("SELECT 1") == ((1,),)
        except pymysql.err.OperationalError:
            return False


def needs_mariadb() -> None:
    """Skip the test module that calls this, in one line, where there is no MariaDB."""
    if mariadb_program() is None:
        pytest.skip(_MISSING, allow_module_level=True)


def mariadb_program() -> str | None:
    program = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    return program if all((_SQL / name).exists() for name in _TABLES) else None


@pytest.fixture(scope="session")
def mariadb(servers_root: Path) -> Iterator[MariaDb]:
    """The session's MariaDB."""
    program = mariadb_program()
    if program is None:
        pytest.skip(_MISSING)
    servers_root.chmod(0o711)
    server = MariaDb(servers_root, program)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def mysql_url(mariadb: MariaDb, request: pytest.FixtureRequest) -> str:
    """A database of the test module's own."""
    return mariadb.make_database(f"of_{request.module.__name__.rpartition('.')[2]}_{time.time_ns()}"[-60:])
