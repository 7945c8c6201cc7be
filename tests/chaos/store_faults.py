"""Faults of PostgreSQL, of its disk, and of the clocks of the processes around it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from datetime import UTC, datetime
from functools import partial

import httpx
import orjson
import psycopg
from psycopg_pool import PoolTimeout

from application.seals import read_statement
from interfaces.adapters.embedded import is_alive
from interfaces.supervisor import Role
from tests.chaos.breaking import Breaking, NothingToBreak, incarnations
from tests.chaos.disk import SmallDisk
from tests.chaos.harness import DATABASE, FLOW, until

HOUR = 3600
FULL_SECONDS = 6.0
DISK_FULL = b"C53100\0"
"""The SQLSTATE `disk_full` in an error message of PostgreSQL's protocol."""


class StoreFaults(Breaking):
    """What can be done to PostgreSQL, and to wall clocks."""

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

    def fill_disk(self) -> str:
        """PostgreSQL's disk has 0 bytes left for some seconds, in which appends of workers are refused; then it has room."""
        disk = self._disk()
        proxies = {"workers": self.system.proxies[DATABASE], "the API": self.system.api_proxy}
        with self._stores:
            postmaster, begun = self.system.postgres.pid, time.monotonic()
            for proxy in proxies.values():
                proxy.listens_for, proxy.heard = DISK_FULL, 0
            left = disk.fill()
            try:
                assert left == 0, f"{left} bytes are left"
                self._until(
                    lambda: disk.fill() == 0 and time.monotonic() - begun > FULL_SECONDS and proxies["workers"].heard > 0,
                    "an append of a worker to be refused for want of room",
                    40,
                )
            finally:
                lasted, room = time.monotonic() - begun, disk.free()
            until(lambda: self._started_at() is not None, "PostgreSQL to answer", 60)
        refused = " and ".join(f"{proxy.heard} to {name}" for name, proxy in proxies.items())
        fate = "lived on" if postmaster == self.system.postgres.pid else "fell and was started again"
        return f"{left} bytes left for {lasted:.1f} s, refusals for want of room: {refused}; PostgreSQL {fate}; {room:,} free"

    def crash_postgres_on_full_disk(self) -> str:
        """As fill_disk, and PostgreSQL crashes, as it does when its log has no room; it cannot start before there is room."""
        disk = self._disk()
        with self._stores:
            left, old = disk.fill(), self.system.postgres.pid
            assert old is not None
            try:
                assert left == 0, f"{left} bytes are left"
                os.kill(old, signal.SIGQUIT)
                until(lambda: not is_alive(old), "PostgreSQL to die", 30)
                end, answers = time.monotonic() + FULL_SECONDS, 0
                while time.monotonic() < end:
                    disk.fill()
                    answers += self._started_at() is not None
                    time.sleep(0.2)
            finally:
                room = disk.free()
            until(lambda: self._started_at() is not None, "PostgreSQL to answer", 60)
            began = self._started_at()
        meanwhile = f"answered {answers} times meanwhile" if answers else "did not answer meanwhile"
        return f"{left} bytes left for {FULL_SECONDS:.0f} s; PostgreSQL {meanwhile}, then at {began}; {room:,} free"

    def _disk(self) -> SmallDisk:
        if self.system.disk is None:
            raise NothingToBreak("PostgreSQL has no disk of its own here")
        return self.system.disk

    def jump_clock(self) -> str:
        """The wall clock of a process jumps an hour ahead, then an hour back, then is right again; what it writes meanwhile
        proves it."""
        system = self.system
        role = self._random.choice([*system.workers, system.api, system.scheduler, system.projector])
        file, head, found = system.clock_file(role.name), self._head(), []
        try:
            for offset in (HOUR, -HOUR):
                file.write_text(f"{offset:+d}")
                self._until(partial(self._is_wrong, role, head, offset), f"an event with {role.name}'s clock", 60)
                found.append(f"{offset:+d} s")
                head = self._head()
        finally:
            file.write_text("0")
        return f"{role.name} wrote {'seals' if role is system.projector else 'events'} at {' and '.join(found)}"

    def _is_wrong(self, role: Role, after: int, offset: int) -> bool:
        """Whether a role has written something at about this wrong time: the projector the newest seal, others an event; the
        API is asked for one."""
        if role is self.system.projector:
            return self._is_sealed_at(offset)
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
            if (not mine or fields.get("worker") in mine) and _is_off_by(fields["timestamp"], offset):
                return True
        return False

    def _is_sealed_at(self, offset: int) -> bool:
        """Whether the newest seal of the executions bears about this wrong time."""
        try:
            with self._pool.connection() as connection:
                row = connection.execute("SELECT statement FROM executions.seals ORDER BY number DESC LIMIT 1").fetchone()
        except (psycopg.Error, PoolTimeout):
            return False
        return row is not None and _is_off_by(read_statement(row[0]).at, offset)


def _is_off_by(text: str, offset: int) -> bool:
    """Whether a time differs from now by about so many seconds."""
    return abs((datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds() - offset) < HOUR / 4
