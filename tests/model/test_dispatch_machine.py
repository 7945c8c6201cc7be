"""Random histories of the dispatch protocol: whatever breaks and whenever, the promises hold after each action, and everything
comes to its end when nothing breaks any more. The build runs 80 of them and ops/chaos --rows 500, or as many as
TESTMESH_TEST_EXAMPLES says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from application.database import Database
from tests.model.world import Parts, World
from tests.support.figures import Figure

pytestmark = [pytest.mark.servers, pytest.mark.row("R14")]
EXAMPLES, MANY = (int(os.environ.get("TESTMESH_TEST_EXAMPLES", usual)) for usual in ("80", "500"))
STEPS = 50
MOST = 8
NUMBER = st.integers(0, 2)
INTERRUPTION = st.sampled_from(["nothing", "nothing", "nothing", "cancel", "claim", "write", "sweep", "wipe", "dispatch"])
ELSEWHERE = ["cancel", "submit_again", "wipe", "restore", "die_dispatching", "dispatch", "project", "restart_projector", "call"]


class Dispatching(RuleBasedStateMachine):
    """The rules; the promises are looked at by the world."""

    database: Database
    parts = Parts()

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.database, self.parts)
        self.world.submit()
        self.world.submit(lock=True)
        self.world.submit(lock=True)

    def teardown(self) -> None:
        """The end of every example: no more faults."""
        try:
            self.world.settle()
        finally:
            self.world.close()

    def _between(self, what: str) -> Callable[[], object] | None:
        world = self.world
        last = len(world.ids) - 1
        deeds: dict[str, Callable[[], object]] = {
            "cancel": lambda: world.cancel(last),
            "claim": lambda: [world.dispatch(), world.deliver(2)],
            "write": lambda: [world.advance(number) for number in range(3)],
            "sweep": lambda: [world.sweep(), world.sweep()],
            "wipe": world.wipe,
            "dispatch": world.dispatch,
        }
        return deeds.get(what)

    @precondition(lambda self: len(self.world.ids) < MOST)
    @rule(fails=st.booleans(), lock=st.booleans(), priority=st.sampled_from(["normal", "normal", "high"]))
    def submit(self, fails: bool, lock: bool, priority: str) -> None:
        self.world.submit(fails_when_lost=fails, lock=lock, priority=priority)

    @rule(number=st.integers(0, MOST), between=INTERRUPTION)
    def time_out(self, number: int, between: str) -> None:
        self.world.time_out(number % len(self.world.ids), self._between(between))

    @rule(worker=NUMBER, number=st.integers(0, MOST))
    def stray(self, worker: int, number: int) -> None:
        self.world.stray(worker, number % len(self.world.ids))

    def _take(self, worker: int, entry: int, between: str, dies: int, records: int) -> None:
        self.world.dispatch()
        if self.world.deliver(worker, entry, self._between(between), dies=dies == 5) is not None:
            self.world.advance(worker, -1, records)

    _taken = {
        "worker": NUMBER,
        "entry": NUMBER,
        "between": INTERRUPTION,
        "dies": st.integers(0, 5),
        "records": st.integers(0, 7),
    }
    # Rules are drawn evenly, and this is what all others need.
    take = rule(**_taken)(_take)
    take_too = rule(**_taken)(_take)
    take_as_well = rule(**_taken)(_take)

    @rule(worker=NUMBER, session=NUMBER, records=st.integers(1, 9))
    def advance(self, worker: int, session: int, records: int) -> None:
        busy = [number for number, one in enumerate(self.world.workers) if one.sessions and not one.frozen]
        if busy:
            self.world.advance(busy[worker % len(busy)], session, records)

    @precondition(lambda self: self.world.queue.delivered)
    @rule(worker=NUMBER, entry=NUMBER, between=INTERRUPTION)
    def deliver_again(self, worker: int, entry: int, between: str) -> None:
        self.world.deliver_again(worker, -entry, self._between(between))

    @rule(worker=NUMBER, what=st.sampled_from(["crash", "freeze or wake", "drop", "drain", "lose_acknowledgement", "beat"]))
    def happen_to_a_worker(self, worker: int, what: str) -> None:
        one = self.world.workers[worker]
        if what == "freeze or wake":
            one.frozen = not one.frozen
        else:
            getattr(self.world, what)(worker)

    def _expire(self, seconds: int, beating: set[int], look: str) -> None:
        self.world.tick(seconds)
        for number in sorted(beating):
            self.world.beat(number)
        for _ in range(2):
            getattr(self.world, look)()

    _expired = {
        "seconds": st.sampled_from([16, 16, 16, 4000]),
        "beating": st.sets(NUMBER, max_size=2),
        "look": st.sampled_from(["sweep", "sweep", "sweep_half"]),
    }
    expire = rule(**_expired)(_expire)
    expire_too = rule(**_expired)(_expire)

    @precondition(lambda self: self.world.half_swept)
    @rule(between=INTERRUPTION)
    def sweep_late(self, between: str) -> None:
        self.world.sweep_late(self._between(between))

    @rule(number=NUMBER, what=st.sampled_from(ELSEWHERE), between=INTERRUPTION)
    def happen_elsewhere(self, number: int, what: str, between: str) -> None:
        if what in ("cancel", "submit_again"):
            getattr(self.world, what)(number % len(self.world.ids))
        elif what == "restore":
            self.world.restore(self._between(between))
        else:
            getattr(self.world, what)()


def run(database: Database, parts: Parts, examples: int, **options: Any) -> None:
    """Random histories of a world made of these parts; AssertionError when a promise breaks."""

    class Machine(Dispatching):
        pass

    Machine.database, Machine.parts = database, parts
    checks = list(HealthCheck)
    wanted = settings(
        max_examples=examples, stateful_step_count=STEPS, deadline=None, suppress_health_check=checks, database=None, **options
    )
    run_state_machine_as_test(Machine, settings=wanted)


def test_the_promises_hold_in_random_histories(model_database: Database) -> None:
    run(model_database, Parts(), EXAMPLES, phases=(Phase.generate,), print_blob=True)


@pytest.mark.nightly
def test_the_promises_hold_in_many_random_histories(model_database: Database, figure: Figure) -> None:
    begun = time.monotonic()
    run(model_database, Parts(), MANY, phases=(Phase.generate,), print_blob=True)
    figure(f"{MANY} random histories of {STEPS} steps at most, in {time.monotonic() - begun:.0f} s: every promise held")
