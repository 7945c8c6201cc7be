"""R1, case 26 of the failure list: PostgreSQL fails over to a standby that is behind, or to one that is never behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from interfaces.adapters.embedded import is_alive
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from tests.chaos.afterwards import (
    differs_from_the_keys,
    read_models_equal_a_rebuild,
    scheduled,
    wait_for_the_end,
)
from tests.chaos.checker import broken_promises, read_log
from tests.chaos.clients import Clients
from tests.chaos.harness import until
from tests.chaos.ticking import Ticking, broken_ticks, read_decisions
from tests.chaos.trial import dead_letters, running
from tests.support.figures import Figure
from tests.support.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.row("R1"), pytest.mark.nightly]


class Pair:
    """A primary and a streaming standby behind one address; the standby follows by way of a proxy of its own."""

    def __init__(self, root: Path) -> None:
        self._roots = root / "a", root / "b"
        self.primary = EmbeddedPostgres(self._roots[0])
        self.primary.start()
        self.replication = TcpProxy(self._port(self.primary))
        self.front = TcpProxy(self._port(self.primary))
        self.standby = self._made()
        self._serving: EmbeddedPostgres | None = self.primary

    @staticmethod
    def _port(server: EmbeddedPostgres) -> int:
        return urlsplit(server.url).port or 0

    def _made(self) -> EmbeddedPostgres:
        """A copy of the primary that follows it."""
        home, data = self._roots[1] / "postgres", self._roots[1] / "postgres" / "data"
        home.mkdir(parents=True)
        shutil.copy(self._roots[0] / "postgres" / "password", home / "password")
        through = self._at(self.primary.url_of("postgres"), self.replication.port)
        tool = self.primary._binaries() / "pg_basebackup"
        argv = [str(tool), "-D", str(data), "-R", "-X", "stream", "-c", "fast", "-d", through]
        subprocess.run(argv, check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
        owner = os.stat(self._roots[0] / "postgres" / "data")
        for path in (self._roots[1], *self._roots[1].rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        data.chmod(0o700)
        standby = EmbeddedPostgres(self._roots[1])
        standby.start()
        until(lambda: self._streams() == 1, "the standby to follow", 30)
        return standby

    @staticmethod
    def _at(url: str, port: int) -> str:
        return url.replace(f":{urlsplit(url).port}/", f":{port}/")

    def _streams(self) -> int:
        with psycopg.connect(self.primary.url) as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").fetchone()
        return int(row[0]) if row else 0

    def caught_up(self) -> None:
        """Wait until the standby has what the primary has now."""
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            sql = "SELECT pg_current_wal_flush_lsn()"
            (now,) = connection.execute(sql).fetchone() or ("",)
            reached = "SELECT bool_or(flush_lsn >= %s::pg_lsn) FROM pg_stat_replication"
            until(lambda: bool((connection.execute(reached, (now,)).fetchone() or (False,))[0]), "the standby to catch up")

    def be_synchronous(self) -> None:
        """From now on a commit is acknowledged when the standby has it."""
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        until(lambda: self._synchronous() == "sync", "the standby to be synchronous", 30)

    def _synchronous(self) -> str:
        with psycopg.connect(self.primary.url) as connection:
            row = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone()
        return str(row[0]) if row else ""

    def fail_over(self) -> tuple[int, int]:
        """SIGKILL of the primary, promotion of the standby; the positions of the log before and after."""
        with psycopg.connect(self.primary.url) as connection:
            before = _head(connection)
        self._serving, pid = None, self.primary.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), "the primary to die")
        with psycopg.connect(self.standby.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote(true, 60)")
            after = _head(connection)
        self._serving = self.standby
        self.front.lead_to(self._port(self.standby))
        return before, after

    # What the supervisor and the system ask --------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where whoever serves is reached."""
        return self._at(self.primary.url, self.front.port)

    @property
    def pid(self) -> int | None:
        """The postmaster that serves."""
        return self._serving.pid if self._serving else None

    def start(self) -> str:
        """It has started."""
        return self.url

    def ensure(self) -> None:
        """Nobody is started again in the middle of a failover."""

    def alive(self) -> bool:
        """Whether somebody serves."""
        return self._serving is not None and self._serving.alive()

    def stop(self) -> None:
        """Stop all."""
        self.standby.stop()
        self.primary.stop()
        self.front.close()
        self.replication.close()


def _head(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT coalesce(max(notification_id), 0) FROM executions.events").fetchone()
    return int(str(row[0])) if row else 0


@contextmanager
def pair() -> Iterator[tuple[Path, Pair]]:
    """Two servers below a folder for the system."""
    root = Path(tempfile.mkdtemp(prefix="tmc"))
    root.chmod(0o711)
    yield root, Pair(root)


def test_a_standby_that_is_behind_loses_the_tail_and_nothing_contradicts_itself(figure: Figure) -> None:
    with pair() as (root, servers), running(root, postgres=servers, workers=3) as system:
        clients, ticking = Clients(system, seed=26), Ticking(system)
        ticking.start()
        clients.start(1_000_000, pause=0.1)
        until(lambda: clients.answers["202"] > 100, "some work", 60)
        safe = set(clients.journal.read().values())
        servers.caught_up()
        servers.replication.stall()
        time.sleep(2.0)
        before, after = servers.fail_over()
        begun = time.monotonic()
        behind = clients.answers["202"]
        until(lambda: clients.answers["202"] > behind + 20, "requests to be accepted again", 60)
        seconds = time.monotonic() - begun
        time.sleep(3.0)
        clients.stop()
        clients.join()
        ticking.stop()
        url = system.settings.database_url
        wait_for_the_end(url, 60)
        log, answered = read_log(url), clients.journal.read()
        vanished = {id for id in answered.values() if id not in log}
        decisions = read_decisions(url)
        wrong = [
            *broken_promises(log, set(answered.values()) - vanished),
            *differs_from_the_keys(log, system.workspace, answered),
            *broken_ticks(decisions, ticking.periods, scheduled(log)),
        ]
        figure(
            f"failover to a standby that was {before - after} events behind: {len(answered)} accepted, the {len(vanished)}"
            f" accepted in the 2 s before it are gone, {len(vanished & safe)} of those before; {len(log)} ended,"
            f" {len(wrong)} promises broken among them; accepts again after {seconds:.1f} s; dead letters:"
            f" {dead_letters(system)}"
        )
        assert before > after, "the standby was not behind: the test proves nothing"
        assert vanished
        assert not vanished & safe
        assert wrong == []
        assert read_models_equal_a_rebuild(system) > 0


def test_a_synchronous_standby_loses_nothing(figure: Figure) -> None:
    with pair() as (root, servers), running(root, postgres=servers, workers=3) as system:
        servers.be_synchronous()
        clients, ticking = Clients(system, seed=27), Ticking(system)
        ticking.start()
        clients.start(1_000_000, pause=0.1)
        until(lambda: clients.answers["202"] > 200, "some work", 60)
        servers.fail_over()
        behind = clients.answers["202"]
        until(lambda: clients.answers["202"] > behind + 100, "requests to be accepted again", 60)
        clients.stop()
        clients.join()
        ticking.stop()
        url = system.settings.database_url
        wait_for_the_end(url, 60)
        log, answered = read_log(url), clients.journal.read()
        wrong = [
            *broken_promises(log, answered.values()),
            *differs_from_the_keys(log, system.workspace, answered),
            *broken_ticks(read_decisions(url), ticking.periods, scheduled(log)),
        ]
        figure(f"failover to a synchronous standby: {len(answered)} accepted, {len(log)} ended, {len(wrong)} promises broken")
        assert wrong == []
        assert read_models_equal_a_rebuild(system) > 0
