"""Faults of processes: killed, frozen, asked to end in turn."""

from __future__ import annotations

import os
import signal
import time
from contextlib import nullcontext

from interfaces.adapters.embedded import is_alive
from interfaces.supervisor import Role
from tests.chaos.breaking import Breaking, pid_of, state_of
from tests.chaos.harness import until

RESTART_SECONDS = 60.0
SETTLED_SECONDS = 2.0
"""After so long a role has begun to listen to signals."""


class ProcessFaults(Breaking):
    """What can be done to the roles."""

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

    def freeze_worker_and_projector(self) -> str:
        """Both at once: who would look after the worker's executions stands still as well."""
        with self._worker:
            worker, held = self._busy_worker()
            pid = self._stop(worker)
        projector = self.system.projector
        other = self._stop(projector)
        told = self._wake(worker, pid)
        return f"{told}, with {held} executions in its hands; {self._wake(projector, other, 0.0)}"

    def restart_in_turn(self) -> str:
        """SIGTERM to each role that has worked for a while, one after the other; each is another process before the next one
        is asked."""
        begun, codes = time.monotonic(), list[int | None]()
        for role in self.system.roles:
            with self._worker if role in self.system.workers else nullcontext():
                codes.append(self._restart(role))
        self.system.wait_for_the_api()
        assert 0 in codes, f"none ended by itself: {codes}"
        others = [code for code in codes if code]
        told = f"{codes.count(0)} of {len(codes)} ended in order" + (f" (others with {others})" if others else "")
        return f"{told}, in {time.monotonic() - begun:.0f} s"

    def _restart(self, role: Role) -> int | None:
        """SIGTERM; returns when another process runs, with what the old one ended with."""

        def has_worked() -> bool:
            alive = role.process is not None and role.process.poll() is None
            return alive and time.monotonic() - role.started_at > SETTLED_SECONDS

        until(has_worked, f"{role.name} to run for a while", 60)
        process, role.failures = role.process, 0
        assert process is not None
        process.send_signal(signal.SIGTERM)
        until(lambda: role.process not in (None, process), f"{role.name} to be started again", RESTART_SECONDS)
        return process.returncode

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

    def _wake(self, role: Role, pid: int, later: float | None = None) -> str:
        """Let it go on when its lease is over, or so many seconds later than another."""
        seconds = self.system.lease + 3.0
        time.sleep(seconds if later is None else later)
        if not is_alive(pid):
            return f"{role.name} {pid} was killed while it stood still"
        os.kill(pid, signal.SIGCONT)
        until(lambda: state_of(pid) != "T", "the process to go on")
        return f"{role.name} {pid} stood still for {seconds:.0f} s"
