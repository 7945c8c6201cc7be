"""The chaos harness: the real roles as processes over real servers, faults that prove themselves, and a journal."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import redis

from application.actions.registry import ACTIONS
from application.executions import RunRequest
from application.flow_documents import read_flow
from application.queueing import Wish
from domain.errors import Unavailable
from domain.events import Actor
from domain.queueing import Group
from interfaces.adapters.embedded import is_alive
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.adapters.redis_execution_queue import EPOCH, STREAM
from interfaces.bootstrap import Platform, make_key
from interfaces.settings import Settings
from interfaces.supervisor import Role, Supervisor
from tests.support.tcp_proxy import TcpProxy

GROUPED = 12
"""One of so many executions is in a concurrency group of two places."""
FLOW = """
flow:
  name: chaos
  setup:
    - {id: make, action: log, config: {message: made}, output: {made: $.message}}
  steps:
    - {id: first, action: delay, config: {duration: "${NAP}ms"}}
    - {id: second, action: delay, config: {duration: "${NAP}ms"}}
  teardown:
    - {id: clean, action: log, config: {message: "clean ${made}"}}
"""
LEASE = 3.0


@dataclass
class Journal:
    """What the client saw, and what was done to the system, with its proof. What was accepted is on disk before the next
    request."""

    path: Path
    accepted: list[UUID] = field(default_factory=list)
    refused: int = 0
    faults: list[tuple[float, str, str]] = field(default_factory=list)

    def accept(self, id: UUID) -> None:
        """Write an acceptance down."""
        self.accepted.append(id)
        with self.path.open("a") as file:
            file.write(f"{id}\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[UUID]:
        """What stands on disk."""
        return [UUID(line) for line in self.path.read_text().splitlines()]


class System:
    """Roles under the supervisor, as `testmesh up` runs them, with short leases."""

    def __init__(self, root: Path, *, workers: int = 3, seed: int = 1) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.journal = Journal(root / "journal")
        self.postgres = EmbeddedPostgres(root)
        self.valkey = EmbeddedValkey(root)
        make_key(root / "key")
        self.settings = Settings(
            database_url=self.postgres.start(),
            redis_url=self.valkey.start(),
            key_file=str(root / "key"),
            lease=LEASE,
            heartbeat=1.0,
        )
        self.platform = Platform(self.settings)
        self.platform.migrate()
        self.proxies = {store: TcpProxy(urlsplit(url).port or 0) for store, url in self._stores().items()}
        through = {name: _through(url, self.proxies[name].port) for name, url in self._stores().items()}
        self.workers = [Role(f"worker-{number}", ["worker"], 30.0, through) for number in range(workers)]
        self.projector = Role("projector", ["projector"], patience=20.0)
        self.supervisor = Supervisor(
            [*self.workers, self.projector], [self.postgres, self.valkey], self._environ(), root / "logs"
        )
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self.supervisor.watch, args=(self._stop, 0.1))

    def _stores(self) -> dict[str, str]:
        """The settings that name the two stores; workers reach both through a proxy."""
        return {"TESTMESH_DATABASE_URL": self.settings.database_url, "TESTMESH_REDIS_URL": self.settings.redis_url}

    def _environ(self) -> dict[str, str]:
        values = {
            "TESTMESH_DATABASE_URL": self.settings.database_url,
            "TESTMESH_REDIS_URL": self.settings.redis_url,
            "TESTMESH_KEY_FILE": self.settings.key_file,
            "TESTMESH_LEASE": str(LEASE),
            "TESTMESH_HEARTBEAT": "1",
            "TESTMESH_WORKER_CONCURRENCY": "8",
        }
        return {**os.environ, **values}

    def start(self) -> None:
        """Start the roles and their supervisor."""
        self.supervisor.start()
        self._watch.start()

    def close(self) -> None:
        """Stop everything in order."""
        self._stop.set()
        self._watch.join()
        self.platform.close()
        self.supervisor.stop()
        for proxy in self.proxies.values():
            proxy.close()

    def request(self, count: int, *, pause: float, enough: threading.Event) -> None:
        """Request executions one after another, `count` and on until it is `enough`; what is accepted is written down, what
        is refused counted."""
        definition, _ = read_flow(FLOW, file="chaos.yaml", actions=ACTIONS)
        made = 0
        while made < count or not enough.is_set():
            made += 1
            variables = {"NAP": self.random.randint(20, 150)}
            wish = Wish(group=Group("pair", 2)) if made % GROUPED == 0 else Wish()
            request = RunRequest("w", definition, FLOW, variables=variables, wish=wish)
            try:
                self.journal.accept(self.platform.executions.request(Actor("user:chaos"), request)[0])
            except Unavailable:
                self.journal.refused += 1
            time.sleep(pause)

    # Faults: each returns when it has happened, with its proof --------------------------------------------------

    def kill_worker(self) -> str:
        """SIGKILL of a worker in the middle of its work; the process is gone."""
        role, held = self._busy_worker()
        return f"{self._kill(role)}, with {held} executions in its hands"

    def kill_projector(self) -> str:
        """SIGKILL of projections, dispatcher and sweeper."""
        return self._kill(self.projector)

    def _kill(self, role: Role) -> str:
        pid = _pid(role)
        os.kill(pid, signal.SIGKILL)
        _until(lambda: not is_alive(pid), "the process to die")
        return f"{role.name} {pid} is dead"

    def freeze_worker(self) -> str:
        """SIGSTOP for longer than a lease, then SIGCONT: it wakes as a replaced worker."""
        role, held = self._busy_worker()
        return f"{self._freeze(role)}, with {held} executions in its hands"

    def freeze_projector(self) -> str:
        """SIGSTOP of projections, dispatcher and sweeper, then SIGCONT."""
        return self._freeze(self.projector)

    def _freeze(self, role: Role) -> str:
        pid = _pid(role)
        os.kill(pid, signal.SIGSTOP)
        _until(lambda: _state(pid) == "T", "the process to stop")
        time.sleep(LEASE + 3.0)
        os.kill(pid, signal.SIGCONT)
        _until(lambda: _state(pid) != "T", "the process to go on")
        return f"{role.name} {pid} stood still for {LEASE + 3.0:.0f} s"

    def cut_connections(self) -> str:
        """Every connection of the workers to both stores breaks."""
        return ", ".join(f"{proxy.cut()} to {name}" for name, proxy in self.proxies.items()) + " are cut"

    def slow_connections(self) -> str:
        """Each piece of data between the workers and both stores waits for 50 ms, for 4 s."""
        return self._slowly(0.05)

    def _slowly(self, delay: float) -> str:
        for proxy in self.proxies.values():
            proxy.delayed, proxy.delay = 0, delay
        time.sleep(4.0)
        for proxy in self.proxies.values():
            proxy.delay = 0.0
        assert all(proxy.delayed for proxy in self.proxies.values()), "nothing passed"
        return ", ".join(f"{proxy.delayed} pieces to and from {name}" for name, proxy in self.proxies.items()) + " came late"

    def hide_stores(self) -> str:
        """The workers' connections stand still for longer than a lease, without a word."""
        counts = {name: proxy.stall() for name, proxy in self.proxies.items()}
        time.sleep(LEASE + 1.0)
        for proxy in self.proxies.values():
            proxy.resume()
        assert all(counts.values()), "nobody was connected"
        return ", ".join(f"{count} to {name}" for name, count in counts.items()) + f" stood still for {LEASE + 1.0:.0f} s"

    def swallow_acknowledgement(self) -> str:
        """A worker's append is committed, and its connection breaks before the answer."""
        proxy = self.proxies["TESTMESH_DATABASE_URL"]
        before = proxy.swallowed
        proxy.swallow_answer(b"execution.")
        _until(lambda: proxy.swallowed > before, "an append to swallow the answer of", 30)
        return "the answer to an append is lost"

    def repeat_deliveries(self) -> str:
        """Everything that the queue holds is there twice, the newest first."""
        with redis.Redis.from_url(self.valkey.url) as client:
            entries: Any = client.xrevrange(STREAM, count=100)
            for _, fields in entries:
                client.xadd(STREAM, fields)
        return f"{len(entries)} entries are there twice"

    def empty_valkey(self) -> str:
        """FLUSHALL; the epoch is gone."""
        with redis.Redis.from_url(self.valkey.url) as client:
            keys = client.dbsize()
            client.flushall()
            assert client.get(EPOCH) is None or keys, "the queue was empty before"
        return f"{keys} keys are gone"

    def restart_postgres(self) -> str:
        """SIGQUIT (an immediate shutdown, as a crash); another process answers on the same data."""
        old = self.postgres.pid
        assert old is not None
        os.kill(old, signal.SIGQUIT)
        _until(lambda: not is_alive(old), "PostgreSQL to die")
        _until(lambda: self.postgres.pid not in (None, old) and self.postgres.alive(), "PostgreSQL to come back", 60)
        return f"postmaster {old} is now {self.postgres.pid}"

    def _busy_worker(self) -> tuple[Role, int]:
        """A worker that holds leases now, and how many: a fault that hits an idle one proves nothing."""
        found: list[tuple[Role, int]] = []

        def look() -> bool:
            found[:] = [(role, held) for role in self.workers if (held := self._held(role))]
            return bool(found)

        _until(look, "a worker to have work", 30)
        return self.random.choice(found)

    def _held(self, role: Role) -> int:
        """How many executions the present process of a role has claimed; its log says what it is called."""
        names = re.findall(r"worker (\w+) is ready", (self.root / "logs" / f"{role.name}.log").read_text())
        alive = role.process is not None and role.process.poll() is None
        if not names or not alive:
            return 0
        with self.platform.readers("executions").pool.connection() as connection:
            row = connection.execute("SELECT count(*) FROM executions.leases WHERE worker = %s", (names[-1],)).fetchone()
        return int(row[0]) if row else 0

    def inject(self, fault: Callable[[], str]) -> None:
        """Do it, and keep its proof."""
        begun = time.monotonic()
        proof = fault()
        self.journal.faults.append((round(time.monotonic() - begun, 2), fault.__name__, proof))


def _through(url: str, port: int) -> str:
    """The URL of a store, by way of a proxy."""
    return url.replace(f":{urlsplit(url).port}/", f":{port}/")


def _pid(role: Role) -> int:
    _until(lambda: role.process is not None and role.process.poll() is None, f"{role.name} to run", 30)
    assert role.process is not None
    return role.process.pid


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _until(holds: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
