"""Local runs in several processes: everything is as in one, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interfaces.cli.reports.events import normalised
from interfaces.cli.running.jobs import JOBS_A_PROCESS, number_of_processes
from tests.support.tied import tied

RUN = [sys.executable, "-m", "interfaces.cli.main", "run", "--progress", "none"]
FLOWS = 3 * JOBS_A_PROCESS
CORES = len(os.sched_getaffinity(0))
needs_cores = pytest.mark.skipif(CORES < 2, reason="the run has several processes only where there are several cores")


def write(folder: Path, steps: str, *, head: str = "", tail: str = "", flows: int = FLOWS) -> None:
    """So many flows of these steps."""
    for number in range(flows):
        (folder / f"f{number}.yaml").write_text(f"flow:\n  name: flow {number}\n{head}  steps:\n{steps}{tail}")


def finished(folder: Path, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A run of everything in the folder that has ended."""
    ran = subprocess.run([*RUN, *options, "."], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == code, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran


def executions(ran: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Of a run with --format json."""
    found: list[dict[str, Any]] = json.loads(ran.stdout)["executions"]
    return found


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of flows that take a while and tear down, when all that can run do."""
    write(
        tmp_path,
        "    - {action: delay, config: {duration: 30s}}\n",
        tail="  teardown:\n    - {action: log, config: {message: x}}\n",
    )
    command = [*RUN, "-j", "4", "--report", "json=o.json", "."]
    process = subprocess.Popen(tied(*command), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 20
    while not children(process.pid) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1.0)
    yield process
    process.kill()
    process.communicate()


def children(pid: int) -> list[int]:
    """Processes that a process has made and that are still there."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_small_runs_have_one_process_and_large_ones_at_most_one_a_core() -> None:
    assert number_of_processes(8, JOBS_A_PROCESS) == 1
    assert number_of_processes(1, 1000) == 1
    assert number_of_processes(8, 1000) in (1, min(8, CORES))  # one, where this test runs beside other threads


@needs_cores
def test_the_events_are_those_of_one_process(tmp_path: Path) -> None:
    steps = """    - id: a
      action: log
      config: {message: "${RANDOM_INT}"}
      output: {said: message}
      assert: ["said != ''"]
    - {id: b, action: assert, config: {assertions: ["flow.name contains 'flow'"]}}
"""
    write(tmp_path, steps)
    lines: list[list[Any]] = []
    for jobs in ("1", "4"):
        ran = finished(tmp_path, "-j", jobs, "--seed", "7", "--format", "jsonl")
        events = [json.loads(line) for line in ran.stdout.splitlines()]
        assert [event["feed_id"] for event in events] == list(range(1, len(events) + 1))
        flows: dict[str, list[dict[str, Any]]] = {}
        names = {event["execution"]: event["event"]["flow_name"] for event in events if event["topic"] == "execution.requested"}
        for event in events:
            flows.setdefault(names[event["execution"]], []).append(event)
        lines.append([(name, normalised(flows[name])) for name in sorted(flows)])
    assert len(lines[0]) == FLOWS
    assert lines[0] == lines[1]


@needs_cores
def test_once_runs_a_single_time_in_all_of_them_and_its_secret_is_one_everywhere(tmp_path: Path) -> None:
    head = """  setup:
    - id: login
      once: login
      action: transform
      config: {input: "tok-${RANDOM_INT}-${UUID}", operations: [{extract: $}]}
      output: {token: result}
      secret_outputs: [token]
"""
    write(tmp_path, "    - {id: use, action: log, config: {message: 'with ${token}'}}\n", head=head)
    found = executions(finished(tmp_path, "-j", "4", "--format", "json"))
    logins = [step["outcome"]["reason"] for one in found for step in one["steps"] if step["path"] == "login"]
    assert len(logins) == FLOWS
    assert sum(reason is None for reason in logins) == 1
    said = {line["message"] for one in found for step in one["steps"] for line in step["logs"]}
    assert len(said) == 1
    assert "tok-" not in said.pop()


@needs_cores
def test_what_others_need_comes_first_wherever_it_runs(tmp_path: Path) -> None:
    write(tmp_path, "    - {action: log, config: {message: '${needs.first.name}'}}\n", head="  needs: [first]\n")
    (tmp_path / "first.yaml").write_text(
        "flow:\n  name: first\n  outputs: {name: v.result}\n  steps:\n"
        "    - {id: v, action: transform, config: {input: ada, operations: [{extract: $}]}}\n"
    )
    found = executions(finished(tmp_path, "-j", "4", "--format", "json"))
    assert found[0]["flow"] == "first"
    assert {line["message"] for one in found[1:] for step in one["steps"] for line in step["logs"]} == {"ada"}


@needs_cores
def test_rows_that_accept_snapshots_keep_all_of_them_in_one_file(tmp_path: Path) -> None:
    rows = ", ".join(f"{{n: {number}}}" for number in range(FLOWS))
    (tmp_path / "rows.yaml").write_text(
        f"flow:\n  name: rows\n  data: [{rows}]\n  steps:\n"
        "    - {action: log, config: {message: a}, assert: [\"snapshot(n, 'n' + string(n))\", \"snapshot('same', 'same')\"]}\n"
    )
    write(tmp_path, "    - {action: log, config: {message: a}}\n")
    finished(tmp_path, "-j", "4")
    kept = json.loads((tmp_path / "__snapshots__" / "rows.json").read_text())
    assert len(kept) == FLOWS + 1


@needs_cores
def test_a_lost_process_loses_its_flows_alone_and_is_told(begun: subprocess.Popen[str], tmp_path: Path) -> None:
    write(tmp_path, "    - {action: log, config: {message: a}}\n")  # what is planned is in memory: nothing is read again
    os.kill(children(begun.pid)[0], signal.SIGKILL)
    time.sleep(0.5)
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate(timeout=30)
    assert "a process of the run ended by SIGKILL; the flows that it ran have no verdict" in err
    assert begun.returncode == 130
    found = json.loads((tmp_path / "o.json").read_text())["executions"]
    assert sorted(str(one["verdict"]) for one in found) == ["None", "None", "cancelled", "cancelled"]


@needs_cores
def test_an_interrupt_tears_down_in_all_of_them(begun: subprocess.Popen[str], tmp_path: Path) -> None:
    before = children(begun.pid)
    os.killpg(os.getpgid(begun.pid), 0)
    begun.send_signal(signal.SIGINT)
    begun.communicate(timeout=30)
    assert begun.returncode == 130
    found = json.loads((tmp_path / "o.json").read_text())["executions"]
    assert [one["verdict"] for one in found] == ["cancelled"] * 4
    assert [[step["verdict"] for step in one["steps"] if step["phase"] == "teardown"] for one in found] == [["passed"]] * 4
    assert not any(is_there(pid) for pid in before)


@needs_cores
def test_nothing_is_left_when_the_run_itself_is_killed(begun: subprocess.Popen[str]) -> None:
    before = children(begun.pid)
    assert before
    begun.kill()
    end = time.monotonic() + 10
    while any(is_there(pid) for pid in before) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(is_there(pid) for pid in before)


@needs_cores
def test_a_failure_says_the_same_wherever_it_happened_and_counts(tmp_path: Path) -> None:
    write(tmp_path, "    - {action: log, config: {message: a}, assert: ['1 == 2']}\n")
    ran = finished(tmp_path, "-j", "4", "--retries", "1", "--fail-fast", "--format", "json", code=1)
    verdicts = [one["verdict"] for one in executions(ran)]
    assert "failed" in verdicts
    assert set(verdicts) <= {"failed", "cancelled"}
    assert len(verdicts) < FLOWS
    ran = finished(tmp_path, "-j", "4", "--retries", "1", "--format", "json", code=1)
    assert [one["verdict"] for one in executions(ran)] == ["failed"] * FLOWS
    assert {one["steps"][0]["outcome"]["tries"][0]["assertions"][0]["line"] for one in executions(ran)} == {4}
