"""R1: every accepted execution ends exactly once, whatever dies. The large run is `ops/chaos`."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from tests.chaos.faults import Faults
from tests.chaos.nemesis import Nemesis, as_promised
from tests.chaos.trial import Trial, large, small_disk
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R1"), pytest.mark.long]
EXECUTIONS = 500
SEED = int(os.environ.get("TESTMESH_TEST_SEED", "20261126"))


def test_five_hundred_executions_in_the_rhythms_of_the_large_run(figure: Figure) -> None:
    root = Path(tempfile.mkdtemp(prefix="tmc"))
    with small_disk(root, figure) as disk, large(root, workers=4, seed=SEED, disk=disk) as system:
        faults, trial = Faults(system, SEED), Trial(system, SEED)
        nemesis = Nemesis(faults, as_promised(faults), SEED)
        trial.start(EXECUTIONS, pause=0.2)
        trial.tells(faults)
        nemesis.start()
        while trial.clients.working:
            time.sleep(0.5)
        unproved = nemesis.stop()
        wrong = trial.judged()
        figure(f"seed {SEED}; " + "; ".join(line.strip() for line in trial.told(faults)))
        assert (wrong, unproved) == ([], [])
        assert len(trial.clients.journal.read()) == EXECUTIONS
