"""The faults: each returns when it has happened, with its proof."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import redis
from psycopg_pool import PoolTimeout

from interfaces.adapters.embedded import is_alive
from interfaces.adapters.redis_streams import STREAM
from interfaces.supervisor import Role
from tests.chaos.harness import DATABASE, FLOW, QUEUE, System, until

HOUR = 3600


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that happened: seconds that it took, name, proof."""

    seconds: float
    name: str
    proof: str


class NothingToBreak(Exception):
    """The fault needs work that is over; it was not done."""


class Faults:
    """What can be done to a system, and the list of what was done."""

    def __init__(self, system: System, seed: int = 1, told: Callable[[str], None] = lambda text: None) -> None:
        self.system = system
        self.done: list[Done] = []
        self.requesting: Callable[[], bool] = lambda: True
        """Whether clients still request something."""
        self._random = random.Random(seed)
        self._told = told
        self._begun = time.monotonic()
        self._worker = threading.Lock()
        self._stores = threading.Lock()

    def inject(self, fault: Callable[[], str]) -> None:
        """Do it, and keep its proof."""
        begun = time.monotonic()
        proof = fault()
        taken = round(time.monotonic() - begun, 2)
        self.done.append(Done(taken, fault.__name__, proof))
        self._told(f"{begun - self._begun:7.1f} s  {fault.__name__}: {proof} ({taken} s)")

    # Processes --------------------------------------------------------------------------------------------------

    def kill_worker(self) -> str:
        """SIGKILL of a worker in the middle of its work; the process is gone."""
        with self._worker:
            role, held = self._busy_worker()
            return f"{self._kill(role)}, with {held} executions in its hands"

    def kill_projector(self) -> str:
        """SIGKILL of projections, dispatcher and sweeper."""
        return self._kill(self.system.projector)

    def kill_scheduler(self) -> str:
        """SIGKILL of the scheduler."""
        return self._kill(self.system.scheduler)

    def kill_api(self) -> str:
        """SIGKILL of the API, its requests and its WebSocket connections with it."""
        return self._kill(self.system.api)

    def freeze_worker(self) -> str:
        """SIGSTOP for longer than a lease, then SIGCONT: it wakes as a replaced worker."""
        with self._worker:
            role, held = self._busy_worker()
            pid = self._stop(role)
        return f"{self._wake(role, pid)}, with {held} executions in its hands"

    def freeze_projector(self) -> str:
        """SIGSTOP of projections, dispatcher and sweeper, then SIGCONT."""
        return self._freeze(self.system.projector)

    def freeze_scheduler(self) -> str:
        """SIGSTOP of the scheduler, then SIGCONT."""
        return self._freeze(self.system.scheduler)

    def freeze_api(self) -> str:
        """SIGSTOP of the API, then SIGCONT."""
        return self._freeze(self.system.api)

    def _freeze(self, role: Role) -> str:
        return self._wake(role, self._stop(role))

    def _kill(self, role: Role) -> str:
        pid = pid_of(role)
        role.failures = 0  # it does nothing wrong: it is started again without a growing pause
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), "the process to die")
        return f"{role.name} {pid} is dead"

    def _stop(self, role: Role) -> int:
        pid = pid_of(role)
        os.kill(pid, signal.SIGSTOP)
        until(lambda: state_of(pid) in "TZX", "the process to stop")
        return pid

    def _wake(self, role: Role, pid: int) -> str:
        seconds = self.system.lease + 3.0
        time.sleep(seconds)
        if not is_alive(pid):
            return f"{role.name} {pid} was killed while it stood still"
        os.kill(pid, signal.SIGCONT)
        until(lambda: state_of(pid) != "T", "the process to go on")
        return f"{role.name} {pid} stood still for {seconds:.0f} s"

    # Connections ------------------------------------------------------------------------------------------------

    def cut_connections(self) -> str:
        """Every connection of the workers to both stores breaks."""
        counts = {name: proxy.cut() for name, proxy in self.system.proxies.items()}
        return ", ".join(f"{count} to {name}" for name, count in counts.items()) + " are cut"

    def slow_connections(self) -> str:
        """Each piece of data between the workers and both stores waits for 50 ms, for 4 s."""
        proxies = self.system.proxies
        for proxy in proxies.values():
            proxy.delayed, proxy.delay = 0, 0.05
        time.sleep(4.0)
        for proxy in proxies.values():
            proxy.delay = 0.0
        assert all(proxy.delayed for proxy in proxies.values()), "nothing passed"
        return ", ".join(f"{proxy.delayed} pieces to and from {name}" for name, proxy in proxies.items()) + " came late"

    def hide_stores(self) -> str:
        """The workers' connections stand still for longer than a lease, without a word."""
        proxies, seconds = self.system.proxies, self.system.lease + 1.0
        counts = {name: proxy.stall() for name, proxy in proxies.items()}
        time.sleep(seconds)
        for proxy in proxies.values():
            proxy.resume()
        return ", ".join(f"{count} to {name}" for name, count in counts.items()) + f" stood still for {seconds:.0f} s"

    def swallow_acknowledgement(self) -> str:
        """A worker's append is committed, and its connection breaks before the answer."""
        proxy = self.system.proxies[DATABASE]
        before = proxy.swallowed
        proxy.swallow_answer(b"execution.")
        until(lambda: proxy.swallowed > before, "an append to swallow the answer of", 30)
        return "the answer to a worker's append is lost"

    def swallow_acceptance(self) -> str:
        """A request is accepted, and the API's connection breaks before PostgreSQL's answer."""
        proxy = self.system.api_proxy
        before = proxy.swallowed
        proxy.swallow_answer(b"execution.requested")
        until(lambda: proxy.swallowed > before or not self.requesting(), "a request to swallow the answer of", 30)
        if proxy.swallowed == before:
            raise NothingToBreak
        return "the answer to the API's append is lost"

    # The queue --------------------------------------------------------------------------------------------------

    def repeat_deliveries(self) -> str:
        """Everything that the queue holds is there twice, the newest first."""
        with self._queue() as client:
            entries = self._entries(client)
            for _, fields in reversed(entries):
                client.xadd(STREAM, fields)
        return f"{len(entries)} entries are there twice"

    def reorder_deliveries(self) -> str:
        """Everything that the queue holds comes in the opposite order."""
        with self._queue() as client:
            entries = self._entries(client)
            for _, fields in reversed(entries):
                client.xadd(STREAM, fields)
            for entry, _ in entries:
                client.xdel(STREAM, entry)
        return f"{len(entries)} entries come the newest first"

    def garbage(self) -> str:
        """An entry that is no command and one of an execution that is unknown; both become dead letters."""
        before = self._letters()
        with self._queue() as client:
            client.xadd(STREAM, {b"\xff": b"\x00"})
            unknown = {"execution": "00000000-0000-4000-8000-000000000000", "attempt": "1", "kind": "attempt", "number": "0"}
            client.xadd(STREAM, dict(unknown))
        return f"2 entries that are no command; there were {before} dead letters"

    def _letters(self) -> int:
        with contextlib.suppress(psycopg.Error, PoolTimeout), self._pool.connection() as connection:
            row = connection.execute("SELECT count(*) FROM executions.dead_letters").fetchone()
            return int(row[0]) if row else 0
        return 0

    def _entries(self, client: redis.Redis) -> list[Any]:
        """What waits, which has to be something."""
        entries: Any = []

        def look() -> bool:
            entries[:] = client.xrange(STREAM, count=200)
            return bool(entries)

        until(look, "something to wait in the queue", 20)
        return list(entries)

    def empty_valkey(self) -> str:
        """FLUSHALL; the epoch is gone."""
        with self._queue() as client:
            keys: Any = client.dbsize()
            client.flushall()
        return f"{keys} keys are gone"

    def wipe_valkey(self) -> str:
        """SIGKILL, its files are deleted; another process answers, which was empty when it began."""
        with self._stores:
            kept, old = self.system.kept[QUEUE], self.system.valkey.pid
            kept.keep_down()
            assert old is not None
            with contextlib.suppress(ProcessLookupError):
                os.kill(old, signal.SIGKILL)
            until(lambda: not is_alive(old), "Valkey to die")
            shutil.rmtree(self.system.root / "valkey" / "appendonlydir")
            kept.down = False
            until(lambda: self.system.valkey.pid not in (None, old) and self.system.valkey.alive(), "Valkey to come back", 30)
        return f"process {old} is now {self.system.valkey.pid}, its append-only file is new"

    def _queue(self) -> redis.Redis:
        return redis.Redis.from_url(self.system.valkey.url, socket_timeout=5)

    # PostgreSQL and clocks --------------------------------------------------------------------------------------

    def crash_postgres(self) -> str:
        """SIGQUIT (an immediate shutdown, as a crash); another process answers on the same data."""
        return self._restart_postgres(signal.SIGQUIT)

    def restart_postgres(self) -> str:
        """SIGINT (a fast shutdown); another process answers on the same data."""
        return self._restart_postgres(signal.SIGINT)

    def _restart_postgres(self, how: signal.Signals) -> str:
        with self._stores:
            postgres, old = self.system.postgres, self.system.postgres.pid
            assert old is not None
            os.kill(old, how)
            until(lambda: not is_alive(old), "PostgreSQL to die", 30)
            until(lambda: postgres.pid not in (None, old) and postgres.alive(), "PostgreSQL to come back", 60)
            until(lambda: self._started_at() is not None, "PostgreSQL to answer", 60)
        return f"{how.name}: postmaster {old} is now {postgres.pid}, started at {self._started_at()}"

    def _started_at(self) -> str | None:
        with contextlib.suppress(psycopg.Error), psycopg.connect(self.system.postgres.url, connect_timeout=3) as connection:
            row = connection.execute("SELECT pg_postmaster_start_time()::text").fetchone()
            return str(row[0]) if row else None
        return None

    def jump_clock(self) -> str:
        """The wall clock of a process jumps an hour ahead, then an hour back, then is right again; what it writes meanwhile
        proves it."""
        role = self._random.choice([*self.system.workers, self.system.api, self.system.scheduler])
        file, head, found = self.system.clock_file(role.name), self._head(), []
        for offset in (HOUR, -HOUR):
            file.write_text(f"{offset:+d}")
            until(partial(self._is_wrong, role, head, offset), f"an event with {role.name}'s clock", 60)
            found.append(f"{offset:+d} s")
            head = self._head()
        file.write_text("0")
        return f"{role.name} wrote events at {' and '.join(found)}"

    def _is_wrong(self, role: Role, after: int, offset: int) -> bool:
        """Whether a role has written an event at about this wrong time; the API is asked for one."""
        log = {"server": "flows", "scheduler": "schedules"}.get(role.name, "executions")
        sql = f"SELECT state FROM {log}.events WHERE notification_id > %s ORDER BY notification_id DESC LIMIT 2000"
        mine = incarnations(self.system, role)
        try:
            if role is self.system.api:
                self.system.push(FLOW.replace("chaos", f"clock {time.time()}"), "clock.yaml")
            with self._pool.connection() as connection:
                rows = connection.execute(sql, (after if log == "executions" else 0,)).fetchall()
        except (psycopg.Error, PoolTimeout, httpx.TransportError, AssertionError):
            return False
        for (state,) in rows:
            fields = orjson.loads(bytes(state))
            wrong = (datetime.fromisoformat(fields["timestamp"]) - datetime.now(UTC)).total_seconds()
            if (not mine or fields.get("worker") in mine) and abs(wrong - offset) < HOUR / 4:
                return True
        return False

    def _head(self) -> int:
        return self.system.platform.logs["executions"].head()

    # Who is to be hit -------------------------------------------------------------------------------------------

    @property
    def _pool(self) -> Any:
        return self.system.platform.readers("executions").pool

    def _busy_worker(self) -> tuple[Role, int]:
        """A worker that holds leases now, and how many: a fault that hits an idle one proves nothing."""
        found: list[tuple[Role, int]] = []

        def look() -> bool:
            found[:] = [(role, held) for role in self.system.workers if (held := self._held(role))]
            return bool(found)

        until(look, "a worker to have work", 60)
        return self._random.choice(found)

    def _held(self, role: Role) -> int:
        """How many executions the present process of a role has claimed; its log says what it is called."""
        names = incarnations(self.system, role)
        process = role.process
        if not names or process is None or process.poll() is not None or state_of(process.pid) == "T":
            return 0
        try:
            with self._pool.connection(timeout=1.0) as connection:
                sql = "SELECT count(*) FROM executions.leases WHERE worker = %s"
                row = connection.execute(sql, (names[-1],)).fetchone()
        except (psycopg.Error, PoolTimeout):
            return 0
        return int(row[0]) if row else 0


def incarnations(system: System, role: Role) -> list[str]:
    """The names of the processes that a worker has been so far; its log says them, and those of its children, which do one
    execution at a time."""
    path = system.root / "logs" / f"{role.name}.log"
    return re.findall(r"worker (\w+) is ready for (?!1 )", path.read_text(errors="replace")) if path.exists() else []


def pid_of(role: Role) -> int:
    """The process id of a role that runs, once it does."""
    found: list[int] = []

    def look() -> bool:
        process = role.process
        found[:] = [process.pid] if process is not None and process.poll() is None else []
        return bool(found)

    until(look, f"{role.name} to run", 30)
    return found[0]


def state_of(pid: int) -> str:
    """As the kernel names it; X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
