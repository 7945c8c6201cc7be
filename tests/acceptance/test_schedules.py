"""Schedules as their users meet them: a flow runs by itself, is shown, paused, and goes on after every scheduler was killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.program import Program, programs

pytestmark = pytest.mark.system
FLOW = 'flow:\n  name: {name}\n  steps:\n    - {{action: log, config: {{message: "${{who}}"}}}}\n'


@pytest.fixture(scope="module")
def each_second() -> Iterator[Program]:
    """A system whose schedules may tick each second."""
    with programs() as make:
        made = make("--allow", "127.0.0.1")
        made.environ["TESTMESH_LIMIT_SCHEDULE_SECONDS"] = "1s"
        made.up()
        yield made


@pytest.fixture
def ticking(each_second: Program, request: pytest.FixtureRequest) -> Iterator[tuple[Program, str]]:
    """The system and the name of a flow that is pushed; its schedules end with the test."""
    name = f"flow-{request.node.name}"
    (each_second.folder / f"{name}.yaml").write_text(FLOW.format(name=name))
    assert each_second.run("flows", "push", f"{name}.yaml").returncode == 0
    yield each_second, name
    for row in each_second.json("schedules", "ls"):
        assert each_second.run("schedules", "rm", row["id"]).returncode == 0


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `holds` gives once it gives something; AssertionError when it never does."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


def decisions(program: Program, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = program.json("schedules", "get", name, "--limit", "1000")["decisions"]
    return found


def test_a_flow_runs_by_itself_with_its_variables_and_every_tick_is_told(ticking: tuple[Program, str]) -> None:
    program, flow = ticking
    made = program.run("schedules", "create", flow, "* * * * * *", "--overlap", "queue", "--var", "who=eva", "--tag", "nightly")
    assert made.returncode == 0, made.stderr
    assert len(re.findall(r"^20\d\d-", made.stdout, re.MULTILINE)) == 5
    passed = until(lambda: [row for row in program.json("runs", "ls", "--tag", "nightly") if row["verdict"] == "passed"])
    assert (passed[0]["trigger"], passed[0]["flow_name"]) == ("schedule", flow)
    started = [row for row in decisions(program, flow) if row["decision"] == "started"]
    assert {row["id"] for row in passed} <= {row["execution"] for row in started}
    shown = program.run("schedules", "get", flow).stdout
    assert "* * * * * *" in shown
    assert "started" in shown
    assert "ok       schedules: 1 tick" in program.run("doctor").stdout


def test_a_suite_runs_by_itself_with_its_rows(ticking: tuple[Program, str]) -> None:
    program, _ = ticking
    steps = "  steps:\n    - {action: log, config: {message: x}}\n"
    text = f"flow:\n  name: rows\n  suite: ticked\n  tags: [smoke]\n  data: {{rows: [{{n: 1}}, {{n: 2}}]}}\n{steps}"
    (program.folder / "rows.yaml").write_text(text)
    assert program.run("flows", "push", "rows.yaml").returncode == 0
    made = program.run("schedules", "create", "* * * * * *", "--suite", "ticked", "--matrix", "site=a,b", "--overlap", "queue")
    assert made.returncode == 0, made.stderr
    row = until(lambda: [run for run in program.json("suites", "ls", "--name", "ticked") if run["verdict"]])[0]
    assert (row["verdict"], row["trigger"], row["counts"]) == ("passed", "schedule", {"passed": 4})
    assert row["id"] in [decision["execution"] for decision in decisions(program, "ticked")]
    assert "suite ticked" in program.run("schedules", "get", "ticked").stdout
    changed = program.run("schedules", "change", "ticked", "--tags", "smoke", "-j", "3", "--fail-fast", "--cron", "@yearly")
    assert changed.returncode == 0, changed.stderr
    selection = {"suite": "ticked", "tags": "smoke", "matrix": {"site": ["a", "b"]}, "parallel": 3, "fail_fast": True}
    assert program.json("schedules", "get", "ticked")["selection"] == selection
    assert program.run("schedules", "change", "ticked", "--suite", "", "--matrix", "", "--no-fail-fast").returncode == 0
    assert program.json("schedules", "get", "ticked")["selection"] == {"tags": "smoke", "parallel": 3}
    both = program.run("schedules", "change", "ticked", "--flow", "rows", "--suite", "ticked")
    assert (both.returncode, "not both" in both.stderr) == (2, True)
    assert program.run("schedules", "change", "ticked", "--flow", "rows").returncode == 0
    row = program.json("schedules", "get", "ticked")
    assert (bool(row["flow"]), row["selection"]) == (True, {})
    wrong = program.run("schedules", "create", "@daily")
    assert (wrong.returncode, "give FLOW and CRON" in wrong.stderr) == (2, True)


def test_a_paused_schedule_stands_still_and_says_why(ticking: tuple[Program, str]) -> None:
    program, flow = ticking
    program.run("schedules", "create", flow, "*/2 * * * * *", "--name", "p", "--var", "who=x", "--overlap", "cancel_older")
    until(lambda: decisions(program, "p"))
    assert program.run("schedules", "pause", "p", "--reason", "a release").returncode == 0
    before = decisions(program, "p")
    shown = program.run("schedules", "get", "p").stdout
    assert "a release" in shown
    assert "paused" in program.run("schedules", "ls").stdout
    time.sleep(3)
    assert decisions(program, "p") == before
    done = program.run("schedules", "next", "p", "--count", "2")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert program.run("schedules", "resume", "p").returncode == 0
    until(lambda: len(decisions(program, "p")) > len(before))
    assert program.run("schedules", "change", "p", "--cron", "@yearly", "--zone", "Europe/Berlin").returncode == 0
    assert program.json("schedules", "get", "p")["time_zone"] == "Europe/Berlin"


def test_mistakes_are_told_with_a_remedy(ticking: tuple[Program, str]) -> None:
    program, flow = ticking
    for arguments, said in (
        ((flow, "* * *"), "3 fields"),
        ((flow, "@daily", "--zone", "Europe/Berln"), "did you mean Europe/Berlin?"),
        ((flow, "@daily", "--jitter", "soon"), "jitter"),
        (("no-such-flow", "@daily"), "there is no flow"),
    ):
        done = program.run("schedules", "create", *arguments)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "there is no schedule" in program.run("schedules", "get", "none").stderr


@pytest.mark.row("R6")
def test_schedulers_that_are_killed_lose_no_tick_and_run_none_twice(ticking: tuple[Program, str]) -> None:
    program, flow = ticking
    made = ("schedules", "create", flow, "* * * * * *", "--var", "who=x", "--overlap", "cancel_older", "--missed", "run_all")
    assert program.run(*made, "--tag", "killed").returncode == 0
    until(lambda: decisions(program, flow))
    for pause in (0.3, 1.1, 0.7, 1.6):
        pid = until(lambda: scheduler_of(program))
        os.kill(pid, signal.SIGKILL)
        until(lambda gone=pid: scheduler_of(program) not in (None, gone))  # type: ignore[misc]
        time.sleep(pause)
    last = decisions(program, flow)[0]["tick"]
    until(lambda: decisions(program, flow)[0]["tick"] > last)
    assert program.run("schedules", "pause", flow).returncode == 0
    told = decisions(program, flow)[::-1]
    first = datetime.fromisoformat(told[0]["tick"])
    final = [datetime.fromisoformat(row["tick"]) for row in told if row["decision"] != "queued"]
    assert sorted(final) == [first + timedelta(seconds=number) for number in range(len(final))]
    started = sorted(row["execution"] for row in told if row["decision"] == "started")
    assert len(started) > 5
    until(lambda: len(requested(program, "killed")) >= len(started))
    assert sorted(requested(program, "killed")) == started


def requested(program: Program, tag: str) -> list[str]:
    """The executions of the log that have the tag."""
    sql = "SELECT originator_id FROM executions.events WHERE topic = 'execution.requested' AND state LIKE %s"
    with psycopg.connect(program.database_url()) as connection:
        return [str(row[0]) for row in connection.execute(sql, (f'%"tags":["{tag}"]%'.encode(),)).fetchall()]


def scheduler_of(program: Program) -> int | None:
    """The process id of this system's scheduler."""
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if words[-2:-1] == [b"scheduler"] and str(program.folder).encode() in (folder / "environ").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    return None
