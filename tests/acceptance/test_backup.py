"""A backup during a run, a machine that is empty afterwards, a restore: the history is the same and work goes on."""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from tests.chaos.checker import broken_promises, read_log
from tests.support.program import Program

pytestmark = pytest.mark.system
FLOW = """flow:
  name: {name}
  steps:
    - {{id: one, action: log, config: {{message: "{name}"}}, output: {{made: $.message}}}}
    - {{id: two, action: delay, config: {{duration: {duration}}}}}
  teardown:
    - {{id: clean, action: log, config: {{message: "clean ${{made}}"}}}}
"""


def events(program: Program) -> list[Any]:
    with psycopg.connect(program.database_url()) as connection:
        found = []
        for log in ("flows", "executions", "identity"):
            found.append(connection.execute(f"SELECT * FROM {log}.events ORDER BY notification_id".encode()).fetchall())
        return found


def until(program: Program, holds: Callable[[dict[str, Any]], bool], name: str, seconds: float = 60) -> dict[str, Any]:
    """The first row of that flow's run for which it holds."""
    end = time.monotonic() + seconds
    while True:
        for row in program.json("runs", "ls"):
            if row["flow_name"] == name and holds(row):
                return dict(row)
        assert time.monotonic() < end, program.json("runs", "ls")
        time.sleep(0.2)


@pytest.mark.row("R15")
def test_an_empty_machine_goes_on_from_a_backup_that_was_made_during_a_run(new_program: Callable[..., Program]) -> None:
    program = new_program()
    program.up()
    (program.folder / "quick.yaml").write_text(FLOW.format(name="quick", duration="1ms"))
    assert program.run("flows", "push", "quick.yaml").returncode == 0
    for _ in range(2):
        assert program.run("run", "--remote", "quick.yaml").returncode == 0
    old = until(program, lambda row: row["status"] == "finished", "quick")
    shown = program.json("runs", "get", old["id"])
    key = program.key()
    with httpx.Client(base_url=key["url"], headers={"Authorization": f"Bearer {key['key']}"}) as http:
        room = f"/api/v1/workspaces/{http.get('/api/v1/whoami').json()['workspace']}"
        assert http.post(f"{room}/executions", json={"document": FLOW.format(name="slow", duration="5s")}).status_code == 202
    slow = until(program, lambda row: row["steps_started"] == 2, "slow")
    made = program.run("admin", "backup", "b.testmesh")
    assert made.returncode == 0, made.stderr
    assert "data/key is not in it" in made.stderr
    before = events(program)
    key_file = (program.folder / "data" / "key").read_bytes()
    assert program.stop() == 0
    shutil.rmtree(program.folder / "data")

    (program.folder / "kept").write_bytes(key_file)
    done = program.run("admin", "restore", "b.testmesh")
    assert done.returncode == 2
    assert "does not hold its key file" in done.stderr
    done = program.run("admin", "restore", "b.testmesh", "--key-file", "kept")
    assert done.returncode == 0, done.stderr
    again = program.run("admin", "restore", "b.testmesh")
    assert again.returncode == 2
    assert "not empty" in again.stderr

    program.up()
    assert "API key" not in program.output.read_text(), "the owner's key of before is the key"
    with zipfile.ZipFile(program.folder / "b.testmesh") as archive:
        manifest = orjson.loads(archive.read("manifest.json"))
    counts = [manifest["parts"][f"{log}/events"]["rows"] for log in ("flows", "executions", "identity")]
    assert all(counts)
    for now, then, count in zip(events(program), before, counts, strict=True):
        assert now[:count] == then[:count]
    assert program.json("runs", "get", old["id"]) == shown
    ended = until(program, lambda row: row["status"] == "finished", "slow")
    assert (ended["id"], ended["verdict"], ended["attempt"]) == (slow["id"], "passed", 2)
    assert program.run("run", "--remote", "quick.yaml").returncode == 0
    log = read_log(program.database_url())
    assert broken_promises(log, log) == []
    assert {row["behind"] for row in program.json("admin", "projections", "ls")} == {0}


def test_read_models_are_rebuilt_and_rolled_back_under_a_running_system(new_program: Callable[..., Program]) -> None:
    program = new_program()
    program.up()
    (program.folder / "quick.yaml").write_text(FLOW.format(name="quick", duration="1ms"))
    assert program.run("run", "--remote", "quick.yaml").returncode == 0
    before = program.json("runs", "ls")
    done = program.run("admin", "projections", "rebuild", "all")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == len(program.json("admin", "projections", "ls"))
    assert program.json("runs", "ls") == before
    assert program.run("run", "--remote", "quick.yaml").returncode == 0
    for verb in ("rollback", "rollback"):
        done = program.run("admin", "projections", verb, "execution_list", "execution_details", "live_feed")
        assert done.returncode == 0, done.stderr
    assert [row["verdict"] for row in program.json("runs", "ls")] == ["passed", "passed"]
    assert program.run("admin", "projections", "rollback", "execution_list", "--drop").returncode == 0
    gone = program.run("admin", "projections", "rollback", "execution_list")
    assert (gone.returncode, "no old rows of execution_list" in gone.stderr) == (2, True)
    assert program.run("run", "--remote", "quick.yaml").returncode == 0
    assert "error" not in program.logs().lower(), program.logs()
    near = program.run("admin", "projections", "rebuild", "execution_lst")
    assert "did you mean execution_list?" in near.stderr
