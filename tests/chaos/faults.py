"""The faults: each returns when it has happened, with its proof. Those of connections stand here, the others beside."""

from __future__ import annotations

import time

from tests.chaos.breaking import Breaking, Done, NothingToBreak, incarnations, pid_of, state_of
from tests.chaos.harness import DATABASE, until
from tests.chaos.process_faults import ProcessFaults
from tests.chaos.queue_faults import QueueFaults
from tests.chaos.store_faults import StoreFaults
from tests.support.tcp_proxy import TcpProxy

__all__ = ["Done", "Faults", "NothingToBreak", "incarnations", "pid_of", "state_of"]


class ConnectionFaults(Breaking):
    """What can be done to connections between the roles and both stores."""

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
        try:
            self._until(lambda: _swallows(proxy, b"execution.", before), "an append to swallow the answer of", 30)
        finally:
            proxy.swallow_answer(b"")
        return "the answer to a worker's append is lost"

    def swallow_acceptance(self) -> str:
        """A request is accepted, and the API's connection breaks before PostgreSQL's answer."""
        proxy = self.system.api_proxy
        before = proxy.swallowed
        until(
            lambda: _swallows(proxy, b"execution.requested", before) or not self.requesting(),
            "a request to swallow the answer of",
            30,
        )
        proxy.swallow_answer(b"")
        if proxy.swallowed == before:
            raise NothingToBreak("all requests had been made")
        return "the answer to the API's append is lost"


def _swallows(proxy: TcpProxy, words: bytes, before: int) -> bool:
    """Whether an answer was swallowed; else the next one is to be, as the connection chosen before may have died of another
    fault."""
    if proxy.swallowed > before:
        return True
    proxy.swallow_answer(words)
    return False


class Faults(ProcessFaults, ConnectionFaults, QueueFaults, StoreFaults):
    """All that can be done to a system."""
