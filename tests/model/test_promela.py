"""The same protocol as a Promela model: every interleaving with one fault, and each guard that is taken away is missed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("dispatch.pml")
FAULTS = os.environ.get("TESTMESH_TEST_FAULTS", "1")
"""How many faults together; 2 takes minutes and some gigabytes."""
MUTATIONS = {
    "NO_VERSION_CHECK": (1, ""),
    "FENCE_WITHOUT_TEARDOWN": (1, "-DT_REVERSE"),
    "CLAIM_WITHOUT_STATE": (1, ""),
    "CONFLICT_GIVES_UP": (1, ""),
    "NO_SWEEP": (1, ""),
    "NO_RESTORE": (1, "-DT_REVERSE"),
    "ACKNOWLEDGE_FIRST": (1, ""),
    "BLIND_RETRY": (1, ""),
    "LEASE_OF_PROCESS": (1, ""),
    "TRACK_FIRST": (1, "-DT_REVERSE"),
    "END_WITHOUT_TEARDOWN": (2, ""),
    "ANY_LEASE": (2, ""),
    "TIME_OUT_WITHOUT_LOOK": (1, ""),
}
"""Faults that are needed, and the order of the search that finds it soon."""
pytestmark = [
    pytest.mark.row("R14"),
    pytest.mark.skipif(
        not (shutil.which("spin") and shutil.which("cc")),
        reason="the model is checked by spin (Debian package spin) and a C compiler",
    ),
]


def check(folder: Path, *names: str, order: str = "") -> str:
    """What the model checker says of the model with these names defined."""
    made = [f"-D{name}" for name in names]
    done = subprocess.run(["spin", *made, "-a", str(MODEL)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    options = ["-w", "-O1", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=6000", *([order] if order else [])]
    subprocess.run(["cc", *options, "-o", "pan", "pan.c"], cwd=folder, check=True)
    return subprocess.run(["./pan", "-m100000"], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_protocol_holds_in_every_interleaving(tmp_path: Path) -> None:
    said = check(tmp_path, f"FAULTS={FAULTS}")
    states = re.search(r"(\S+) states, stored", said)
    print(f"{states[1] if states else 0} states")
    assert "errors: 0" in said, said
    assert "Search not completed" not in said
    assert states is not None
    assert float(states[1]) > 200_000


def test_it_holds_when_waits_time_out(tmp_path: Path) -> None:
    said = check(tmp_path, f"FAULTS={FAULTS}", "TIME_OUT")
    assert "errors: 0" in said, said
    assert "Search not completed" not in said


@pytest.mark.long
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_guard_that_is_gone_is_missed(tmp_path: Path, name: str) -> None:
    faults, order = MUTATIONS[name]
    more = {"ANY_LEASE": ["TWO_SWEEPERS"], "TIME_OUT_WITHOUT_LOOK": ["TIME_OUT"]}.get(name, [])
    assert "assertion violated" in check(tmp_path, f"FAULTS={faults}", name, *more, order=order)
