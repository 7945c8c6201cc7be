"""The small chaos lane: some hundred executions while every role, Valkey and PostgreSQL are broken."""

from __future__ import annotations

import os
import time

import pytest

from tests.chaos.faults import Faults
from tests.chaos.trial import Trial, dead_letters, running

pytestmark = [pytest.mark.chaos, pytest.mark.alone]
EXECUTIONS = 300
SEED = int(os.environ.get("TESTMESH_TEST_SEED", "20261124"))


def test_every_accepted_execution_ends_exactly_once_whatever_breaks() -> None:
    with running(seed=SEED, shards=3) as system:
        faults, trial = Faults(system, SEED, told=print), Trial(system, SEED)
        trial.start(EXECUTIONS, pause=0.25)
        time.sleep(1.0)
        order = [
            faults.kill_worker,
            faults.empty_valkey,
            faults.crash_postgres,
            faults.freeze_worker_and_projector,
            faults.kill_api,
            faults.kill_scheduler,
            faults.kill_projector,
            faults.wipe_valkey,
            faults.kill_worker,
            faults.cut_connections,
            faults.swallow_acknowledgement,
            faults.swallow_acceptance,
            faults.repeat_deliveries,
            faults.reorder_deliveries,
            faults.garbage,
            faults.jump_clock,
        ]
        for fault in order:
            faults.inject(fault)
        wrong = trial.judged(90)
        print(f"seed {SEED}", *(f"{done.name}: {done.proof} ({done.seconds} s)" for done in faults.done), sep="\n")
        print(*trial.told(faults), sep="\n")
        assert wrong == []
        assert len(trial.clients.journal.read()) == EXECUTIONS
        assert trial.ticks > 20
        assert trial.grouped > EXECUTIONS / 30
        assert all(watching.connections > 5 for watching in trial.watching)
        assert trial.large > EXECUTIONS / 20
        assert dead_letters(system) == faults.touched["garbage"] == 6
        lost = sum(name == "attempt_abandoned" for events in trial.log.values() for _, name, _ in events)
        assert lost > 0, "no fault hit a running attempt: the lane proves nothing"
