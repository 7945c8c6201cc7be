"""A flow that names everything it can runs on workers as it runs here; and a killed worker leaves none of its files behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from interfaces.cli.reports.events import normalised
from tests.support.program import Program

pytestmark = pytest.mark.system

FLOW = """flow:
  name: Everything
  env_file: [../shared.env]
  env: {greeting: of the flow, place: of the flow}
  data: {file: ../data/people.csv, key: who}
  setup:
    - id: mock
      action: mock_server_start
      config:
        name: shop
        endpoints: [{method: POST, path: /up, response: {status: 201, body: {ok: true}}}]
      output: {mock_url: url}
  steps:
    - id: names
      action: run_flow
      config: {flow: ../parts/greet.yaml, inputs: {who: "${who}"}}
      assert: ['output.text == "hello ${who} from the file of the flow"']
    - id: by_name
      action: run_flow
      config: {flow: A greeting, inputs: {who: nobody}}
    - id: upload
      action: http_request
      config: {method: POST, url: "${mock_url}/up", multipart: {image: {file: data/dot.png}, who: "${who}"}}
      assert: [status == 201]
    - id: received
      action: mock_server_verify
      config: {name: shop, path: /up, count: 1}
    - id: raw
      action: http_request
      config: {method: POST, url: "${mock_url}/up", body_file: data/dot.png, save_to: "answers/${who}.json"}
      assert: [status == 201, 'saved == "answers/${who}.json"', 'request.body_file == "data/dot.png"']
    - id: saved
      action: transform
      config: {input_file: "answers/${who}.json", operations: [{extract: $.ok}]}
      assert: [result == true]
    - id: known
      action: sqlite.query
      config: {connection: data/known.db, query: "SELECT name FROM people WHERE name = $1", params: ["${who}"]}
      assert: [count == 1]
    - id: made
      action: sqlite.query
      config: {connection: work.db, query: "CREATE TABLE IF NOT EXISTS t (n); SELECT count(*) AS n FROM t"}
      assert: [first_row.n == 0]
    - id: each
      action: for_each
      config:
        glob: data/*.json
        steps:
          - id: read
            action: transform
            config: {input_file: "data/users.json", operations: [count]}
      assert: [count == 1]
    - id: shown
      action: assert
      config: {assertions: ['greeting == "from the file of the flow"', 'place == "of the flow"', 'row.who == who']}
    - id: same
      action: log
      config: {message: constant}
      assert: ['snapshot(message, "message")']
  teardown:
    - {id: bye, action: mock_server_stop, config: {name: shop}}
"""
GREET = """flow:
  name: A greeting
  inputs: {who: somebody}
  outputs: {text: said.message}
  steps:
    - {id: said, action: log, config: {message: "hello ${who} ${greeting}"}}
  teardown:
    - {id: done, action: log, config: {message: done}}
"""


@pytest.fixture(scope="module")
def home(program: Program) -> Path:
    """A project with a flow that names something of every kind."""
    home = program.folder / "everything"
    for name, content in {
        "testmesh.yaml": "project: everything\n",
        "flows/all.yaml": FLOW,
        "parts/greet.yaml": GREET,
        "shared.env": "greeting='from the file of the flow'\n",
        "data/people.csv": "who\nAda\nGrace\n",
        "data/users.json": "[1, 2, 3]",
        "flows/__snapshots__/all.json": '{"message": "constant"}',
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    (home / "data/dot.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    with closing(sqlite3.connect(home / "data/known.db")) as database, database:
        database.execute("CREATE TABLE people (name)")
        database.executemany("INSERT INTO people VALUES (?)", [("Ada",), ("Grace",)])
    return home


def events(program: Program, home: Path, *options: str) -> dict[str, list[dict[str, Any]]]:
    """Events by row of one run; it has to pass."""
    report = home / "events.jsonl"
    done = program.run("run", *options, "flows/all.yaml", "--report", f"jsonl={report}", cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    cases: dict[str, str] = {}
    for line in report.read_text().splitlines():
        event = json.loads(line)
        if event["topic"] == "execution.requested":
            cases[event["execution"]] = event["event"]["case"]
        found.setdefault(cases[event["execution"]], []).append(event)
    return found


def test_a_flow_with_files_tells_the_same_story_here_and_there(program: Program, home: Path) -> None:
    here = events(program, home)
    sent = events(program, home, "--remote")
    assert program.run("flows", "push", "flows", cwd=home).returncode == 0
    pushed = events(program, home, "--remote")
    assert set(here) == set(sent) == set(pushed) == {"Ada", "Grace"}
    for case, told in here.items():
        assert normalised(told) == normalised(sent[case]) == normalised(pushed[case])
    requested = {case: told[0]["event"]["flow_revision"] for case, told in {**sent, "pushed": pushed["Ada"]}.items()}
    assert requested == {"Ada": None, "Grace": None, "pushed": 1}


def test_a_pushed_flow_runs_with_its_own_variables_for_whoever_asks(program: Program, home: Path) -> None:
    assert program.run("flows", "push", "flows", cwd=home).returncode == 0
    saved = program.key()
    with httpx.Client(base_url=saved["url"], headers={"Authorization": f"Bearer {saved['key']}"}) as client:
        room = f"/api/v1/workspaces/{client.get('/api/v1/whoami').json()['workspace']}"
        (flow,) = client.get(f"{room}/flows", params={"called": "flows/all.yaml"}).json()["items"]
        variables = {"who": "Ada", "row": {"who": "Ada"}}
        accepted = client.post(f"{room}/executions", json={"flow": flow["id"], "variables": variables}).json()
    done = program.run("runs", "follow", accepted["id"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_change_in_a_file_that_is_named_is_a_new_revision(program: Program, home: Path) -> None:
    def push() -> list[str]:
        items = json.loads(program.run("flows", "push", "flows", "--format", "json", cwd=home).stdout)["items"]
        return [item["outcome"] for item in items]

    push()
    before = (home / "data/users.json").read_text()
    outcomes = push()
    (home / "data/users.json").write_text("[4]")
    outcomes += push()
    (home / "data/users.json").write_text(before)
    assert outcomes == ["unchanged", "revised"]


def test_what_cannot_go_along_is_told_with_its_line_and_again_by_the_step(program: Program, home: Path) -> None:
    step = '{action: transform, config: {input_file: "data/${kind}.json", operations: [count]}}'
    (home / "templated.yaml").write_text(f"flow:\n  name: templated\n  env: {{kind: users}}\n  steps:\n    - {step}\n")
    assert program.run("run", "templated.yaml", cwd=home).returncode == 0
    done = program.run("run", "--remote", "templated.yaml", cwd=home)
    assert done.returncode == 3
    assert "templated.yaml:5:" in done.stderr
    assert "What a template names does not go to workers" in done.stderr
    assert "write the name out" in done.stdout


def test_a_new_snapshot_is_not_accepted_by_a_worker(program: Program, home: Path) -> None:
    step = "{action: log, config: {message: x}, assert: ['snapshot(message, \"new\")']}"
    (home / "snap.yaml").write_text(f"flow:\n  name: snap\n  steps:\n    - {step}\n")
    done = program.run("run", "--remote", "snap.yaml", cwd=home)
    assert done.returncode == 1
    assert "accept it with --update-snapshots" in done.stdout


def test_a_killed_worker_leaves_no_files_after_the_next_start(new_program: Callable[..., Program]) -> None:
    program = new_program()
    temporary = program.folder / "t"
    temporary.mkdir()
    program.environ["TMPDIR"] = str(temporary)
    program.up()
    nap = "{id: nap, action: delay, config: {duration: 60s}}"
    text = f"flow:\n  name: naps\n  config: {{on_worker_lost: fail}}\n  env_file: [a.env]\n  steps:\n    - {nap}\n"
    (program.folder / "naps.yaml").write_text(text)
    (program.folder / "a.env").write_text("token=canary-file\n")
    id = program.run("run", "--remote", "--detach", "naps.yaml").stdout.strip()
    left = wait(lambda: [path.parent for path in temporary.rglob("a.env")])[0]
    (worker,) = processes_that_hold(left.parent)
    os.kill(worker, signal.SIGKILL)
    wait(lambda: not left.parent.exists())
    done = program.run("runs", "follow", id)
    assert done.returncode == 3, done.stdout
    assert list(temporary.rglob("a.env")) == []
    assert program.stop() == 0
    assert list(temporary.glob("testmesh-worker-*")) == []


def wait(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `look` finds, once it finds something."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def processes_that_hold(folder: Path) -> list[int]:
    """The processes that have a file of this folder open."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended, or is somebody else's
            links = list((process / "fd").iterdir()) if process.name.isdigit() else []
            if any(_target(link).startswith(f"{folder}/") for link in links):
                found.append(int(process.name))
    return found


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""
