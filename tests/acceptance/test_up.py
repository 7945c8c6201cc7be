"""`testmesh up` as its users meet it: first contact, runs, SIGKILL in the middle, a second start, an orderly end."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable

import httpx
import pytest

from domain.api_key import PATTERN
from interfaces.adapters.embedded import is_alive
from tests.chaos.checker import broken_promises, read_log
from tests.support.program import Program

pytestmark = pytest.mark.system

FLOW = """flow:
  name: naps
  steps:
    - {id: one, action: delay, config: {duration: 300ms}}
    - {id: two, action: log, config: {message: "done ${UUID}"}}
  teardown:
    - {id: clean, action: log, config: {message: clean}}
"""


def test_the_first_start_prints_one_key_once_and_keeps_it_private(program: Program) -> None:
    printed = re.findall(PATTERN, program.output.read_text())
    assert printed == [program.key()["key"]]
    saved = program.folder / "config" / "testmesh" / "credentials.json"
    for path in (saved, program.folder / "data" / "key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not re.findall(PATTERN, program.logs())


def test_a_flow_is_pushed_run_listed_and_shown(program: Program) -> None:
    (program.folder / "naps.yaml").write_text(FLOW)
    assert program.run("flows", "push", "naps.yaml").returncode == 0
    done = program.run("run", "--remote", "naps.yaml", "-v")
    assert done.returncode == 0, done.stderr
    assert "passed  naps" in done.stdout
    assert re.search(r"\[info\] done [0-9a-f-]{36}", done.stdout)
    (row,) = [row for row in program.json("runs", "ls") if row["flow_name"] == "naps"]
    assert (row["verdict"], row["flow_revision"]) == ("passed", 1)
    shown = program.run("runs", "get", row["id"])
    assert "steps: two" in shown.stdout
    assert program.run("runs", "follow", row["id"]).returncode == 0
    assert program.run("flows", "get", "naps", "--source").stdout == FLOW
    (program.folder / "odd.yaml").write_text(
        FLOW.replace("flow:", 'flow:\n  description: "red \\e[31m, two\\nlines"', 1).replace("naps", "odd")
    )
    program.run("flows", "push", "odd.yaml")
    assert "red \\x1b[31m, two\\nlines" in program.run("flows", "get", "odd").stdout


def test_doctor_finds_nothing_wrong(program: Program) -> None:
    done = program.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "problem" not in done.stdout
    for looked_at in (
        "postgresql",
        "role testmesh_writer",
        "leases",
        "projection live_feed",
        "eviction",
        "dead letters",
        "server",
    ):
        assert f"ok       {looked_at}: " in done.stdout, looked_at


def test_what_is_recorded_is_sealed_within_seconds_and_verifies(program: Program) -> None:
    end = time.monotonic() + 30
    while "executions " not in program.run("audit", "checkpoint").stdout:
        assert time.monotonic() < end, "nothing was sealed"
    done = program.run("audit", "verify")
    assert done.returncode == 0, done.stdout
    assert "ok       identity: " in done.stdout
    assert "1 checkpoint as kept" in done.stdout


def test_a_second_up_on_the_same_data_says_who_is_there(program: Program) -> None:
    done = program.run("up", "--port", "0")
    assert done.returncode == 2
    assert "already runs on" in done.stderr


def test_a_taken_port_is_an_error_that_names_its_holder(program: Program) -> None:
    done = program.run("up", "--port", str(program.port), TESTMESH_DATA_DIR=str(program.folder / "other"))
    assert done.returncode == 2
    assert "process" in done.stderr
    assert "--port" in done.stderr


def test_killing_up_in_the_middle_loses_and_doubles_nothing(new_program: Callable[..., Program]) -> None:
    program = new_program("--workers", "2")
    program.up()
    (program.folder / "naps.yaml").write_text(FLOW)
    accepted = []
    with httpx.Client(base_url=program.key()["url"], headers={"Authorization": f"Bearer {program.key()['key']}"}) as http:
        room = f"/api/v1/workspaces/{http.get('/api/v1/whoami').json()['workspace']}/executions"
        for _ in range(40):
            answer = http.post(room, json={"document": FLOW})
            assert answer.status_code == 202
            accepted.append(answer.json()["id"])
    program.kill()
    time.sleep(1.0)
    program.up()
    end = time.monotonic() + 60
    while {row["status"] for row in program.json("runs", "ls", "--limit", "100")} != {"finished"}:
        assert time.monotonic() < end, program.json("runs", "ls", "--limit", "100")
        time.sleep(0.5)
    log = read_log(program.database_url())
    assert sorted(map(str, log)) == sorted(accepted)
    assert broken_promises(log, log) == []


def test_sigterm_ends_everything_in_order(new_program: Callable[..., Program]) -> None:
    program = new_program()
    pid = program.up()
    assert program.stop() == 0
    assert not is_alive(pid)
    leftovers = [path for path in (program.folder / "data" / "postgres" / "data").glob("postmaster.pid")]
    assert leftovers == []
