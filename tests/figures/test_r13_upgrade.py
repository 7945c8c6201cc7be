"""R13: everything is restarted in turn while it works, and no attempt is used up by that."""

from __future__ import annotations

import signal
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.faults import Faults, pid_of
from tests.chaos.harness import until
from tests.chaos.nemesis import Nemesis, as_promised
from tests.chaos.trial import Trial, large, running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R13"), pytest.mark.long]
EXECUTIONS, ROUNDS, SEED = 500, 3, 13


def test_a_rolling_restart_loses_nothing_and_uses_up_no_attempt(figure: Figure) -> None:
    with running(workers=3, seed=SEED, lease=15.0, heartbeat=5.0, TESTMESH_WORKER_DRAIN="0.2") as system:
        faults, trial = Faults(system, SEED), Trial(system, SEED)
        trial.start(EXECUTIONS, pause=0.3)
        restarted = 0
        for _ in range(ROUNDS):
            for role in system.roles:
                old, role.failures = pid_of(role), 0
                assert role.process is not None
                role.process.send_signal(signal.SIGTERM)
                until(lambda role=role, old=old: pid_of(role) != old, f"{role.name} to be started again", 60)  # type: ignore[misc]
                restarted += 1
            system.wait_for_the_api()
        wrong = trial.judged()
        events = [event for events in trial.log.values() for event in events]
        why = Counter(fields["why"] for _, name, fields in events if name == "attempt_abandoned")
        counted = sum(bool(fields["counts"]) for _, name, fields in events if name == "requeued")
        figure(
            f"seed {SEED}: {restarted} processes restarted by SIGTERM during {len(trial.log)} executions: {len(wrong)} promises"
            f" broken, attempts given back {dict(why)}, of which used up {counted}; answers {dict(trial.clients.answers)}"
        )
        assert wrong == []
        assert (set(why), counted) == ({"drain"}, 0)
        assert faults.done == []


def test_restarts_in_turn_during_every_other_fault_use_up_no_attempt(figure: Figure) -> None:
    with large(Path(tempfile.mkdtemp(prefix="tmc")), workers=4, seed=SEED) as system:
        faults, trial = Faults(system, SEED), Trial(system, SEED)
        others = [
            (period, [fault for fault in chosen if fault != faults.restart_in_turn]) for period, chosen in as_promised(faults)
        ]
        nemesis = Nemesis(faults, [rhythm for rhythm in others if rhythm[1]], SEED)
        trial.start(EXECUTIONS, pause=0.2)
        trial.tells(faults)
        nemesis.start()
        while trial.clients.working:
            faults.inject(faults.restart_in_turn)
        unproved, wrong = nemesis.stop(), trial.judged()
        figure(f"seed {SEED}, during the faults of R1; " + "; ".join(line.strip() for line in trial.told(faults)))
        assert (wrong, unproved) == ([], [])
        assert trial.given_back > 0
