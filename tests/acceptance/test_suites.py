"""Suite runs as CI meets them: one command, rows and needs and once on workers, one verdict, reports, and reruns."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import psycopg
import pytest

from tests.support.program import Program
from tests.support.tied import tied

pytestmark = pytest.mark.system
LOGIN = """flow:
  name: login
  suite: shop
  tags: [smoke]
  outputs: {token: token}
  steps:
    - {id: make, action: log, config: {message: "t-42"}, output: {token: message}}
"""
PAY = """flow:
  name: pay
  suite: shop
  needs: [login.yaml]
  data:
    key: city
    rows: [{city: rome, n: 1}, {city: oslo, n: 2}]
  steps:
    - {action: assert, config: {assertions: ["city in ['rome', 'oslo']", "row.n == n", "needs.login.token == 't-42'"]}}
"""
FAILS = "flow:\n  name: fails\n  suite: broken\n  steps:\n    - {action: assert, config: {assertions: ['1 == 2']}}\n"
AFTER = "flow:\n  name: after\n  suite: broken\n  needs: [fails.yaml]\n  steps:\n    - {action: log, config: {message: x}}\n"
CROSSED = """flow:
  name: crossed
  steps:
    - {action: assert, config: {assertions: ["browser in ['a', 'b']"]}}
"""
SLOW = """flow:
  name: slow
  suite: slow
  data: {rows: [{n: 1}, {n: 2}, {n: 3}]}
  steps:
    - {action: delay, config: {duration: 30s}}
  teardown:
    - {action: log, config: {message: clean}}
"""


@pytest.fixture(scope="module")
def project(program: Program, tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    """A system, and a project folder whose flows are pushed to it."""
    folder = tmp_path_factory.mktemp("suites")
    (folder / "testmesh.yaml").write_text("project: suites\n")
    flows = {"login": LOGIN, "pay": PAY, "fails": FAILS, "after": AFTER, "slow": SLOW}
    for name, text in flows.items():
        (folder / f"{name}.yaml").write_text(text)
    assert program.run("flows", "push", cwd=folder).returncode == 0
    return program, folder


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `holds` gives once it gives something; AssertionError when it never does."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


def newest(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = program.json("suites", "ls", "--limit", "1")[0]
    return found


def test_a_pushed_suite_is_run_with_its_rows_in_the_order_of_needs(project: tuple[Program, Path]) -> None:
    program, folder = project
    done = program.run("run", "--remote", "--suite", "shop", "--report", "junit=r.xml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 flows: 3 passed" in done.stdout
    suites = Xml.parse(folder / "r.xml").getroot()
    assert sorted(str(suite.get("name")) for suite in suites) == ["login", "pay [oslo]", "pay [rome]"]
    row = newest(program)
    assert (row["verdict"], row["name"], row["trigger"]) == ("passed", "shop", "cli")
    shown = program.run("suites", "get", row["id"])
    assert re.search(r"suites:pay\.yaml\[rome\] +passed", shown.stdout)


def test_ci_needs_an_address_and_a_key_that_may_read_and_start_runs(project: tuple[Program, Path], tmp_path: Path) -> None:
    program, _ = project
    made = program.run("admin", "keys", "create", "ci", "--scope", "runs:read", "--scope", "runs:write")
    assert made.returncode == 0, made.stderr
    (key,) = re.findall(r"tmk_\w+", made.stdout + made.stderr)
    ci = {
        "XDG_CONFIG_HOME": str(tmp_path),
        "HOME": str(tmp_path),
        "TESTMESH_URL": program.key()["url"],
        "TESTMESH_API_KEY": key,
    }
    for suite, code in (("shop", 0), ("broken", 1)):
        done = program.run("run", "--remote", "--suite", suite, "--follow", cwd=tmp_path, **ci)
        assert done.returncode == code, done.stdout + done.stderr
    refused = program.run(
        "run", "--remote", "--suite", "shop", "--follow", cwd=tmp_path, **{**ci, "TESTMESH_API_KEY": "tmk_wrong"}
    )
    assert refused.returncode == 2
    pushed = program.run("flows", "push", str(project[1]), cwd=tmp_path, **ci)
    assert (pushed.returncode, "flows:write" in pushed.stderr) == (2, True), pushed.stderr


def test_local_files_run_there_as_one_suite_run_whether_pushed_or_not(project: tuple[Program, Path]) -> None:
    program, folder = project
    (folder / "crossed.yaml").write_text(CROSSED)
    done = program.run("run", "--remote", "crossed.yaml", "pay.yaml", "--matrix", "browser=a,b", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 flows: 8 passed" in done.stdout
    keys = {case["key"] for case in program.json("suites", "get", newest(program)["id"])["cases"]}
    assert {f"suites:{key}" for key in ("crossed.yaml[browser=a]", "pay.yaml[oslo browser=b]", "login.yaml[browser=b]")} <= keys


def test_what_fails_is_told_what_needs_it_is_skipped_and_a_rerun_is_merged(project: tuple[Program, Path]) -> None:
    program, folder = project
    done = program.run("run", "--remote", "--suite", "broken", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "after: it needs fails, which did not pass" in done.stdout
    assert "1 == 2" in done.stdout
    assert "fails.yaml:5:" in done.stdout
    first = newest(program)["id"]
    assert program.run("suites", "rerun", first, cwd=folder).returncode == 1
    assert newest(program)["origin"] == first
    shown = program.run("suites", "get", first, "--merged")
    assert (shown.returncode, "together with reruns: failed, 1 failed, 1 skipped" in shown.stdout) == (0, True), shown.stdout
    assert program.run("suites", "follow", first).returncode == 1


def test_what_is_older_than_the_feed_is_followed_and_shown_as_before(project: tuple[Program, Path]) -> None:
    program, folder = project
    assert program.run("run", "--remote", "--suite", "broken", cwd=folder).returncode == 1
    suite_run = newest(program)["id"]
    cases = program.json("suites", "get", suite_run)["cases"]
    execution = next(case["execution"] for case in cases if case["verdict"] == "failed")
    asked = [
        ("runs", "get", execution),
        ("runs", "follow", execution),
        ("suites", "get", suite_run),
        ("suites", "follow", suite_run),
    ]
    before = [program.run(*words) for words in asked]
    with psycopg.connect(program.database_url()) as connection:
        connection.execute("UPDATE executions.live_feed_pruned SET feed_id = (SELECT max(feed_id) FROM executions.live_feed)")
        connection.execute("DELETE FROM executions.live_feed")
    after = [program.run(*words) for words in asked]
    assert [done.returncode for done in after] == [0, 1, 0, 1]
    assert [untimed(done.stdout) for done in after] == [untimed(done.stdout) for done in before]


def untimed(text: str) -> str:
    """What was told, without how long it took to tell."""
    return re.sub(r" in [0-9.]+ s", "", text)


def test_a_detached_run_prints_its_id_and_the_same_key_is_the_same_run(project: tuple[Program, Path]) -> None:
    program, folder = project
    command = ("run", "--remote", "--suite", "shop", "--detach", "--idempotency-key", "build-7")
    ids = {program.run(*command, cwd=folder).stdout.strip() for _ in range(2)}
    assert len(ids) == 1
    assert program.run("suites", "follow", ids.pop()).returncode == 0


def test_an_interrupt_cancels_the_suite_run_and_teardown_still_runs(project: tuple[Program, Path]) -> None:
    program, folder = project
    argv = tied(sys.executable, "-m", "interfaces.cli.main", "run", "--remote", "--suite", "slow", "-j", "2")
    pipe = subprocess.PIPE
    running = subprocess.Popen(argv, cwd=folder, env={**os.environ, **program.environ}, stdout=pipe, stderr=pipe, text=True)
    until(lambda: (row := newest(program))["name"] == "slow" and row["counts"].get("running") == 2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, out + err
    row = newest(program)
    assert (row["verdict"], row["counts"]) == ("cancelled", {"cancelled": 2, "skipped": 1})


def test_a_suite_run_has_a_time_limit_of_its_own_that_needs_no_follower(project: tuple[Program, Path]) -> None:
    program, folder = project
    id = program.run("run", "--remote", "--suite", "slow", "-j", "2", "--timeout", "2s", "--detach", cwd=folder).stdout.strip()
    until(lambda: newest(program)["verdict"])
    row = newest(program)
    assert (row["id"], row["verdict"], row["counts"], row["timeout"]) == (id, "timed_out", {"cancelled": 2, "skipped": 1}, 2.0)
    done = program.run("suites", "follow", id)
    assert (done.returncode, "ended early: the time was up" in done.stdout) == (124, True), done.stdout
    assert "the suite run did not end within 2s" in program.run("suites", "get", id).stdout
    followed = program.run("run", "--remote", "--suite", "slow", "--timeout", "1s", cwd=folder)
    assert followed.returncode == 124, followed.stdout + followed.stderr
    single = program.run("run", "--remote", "login.yaml", "--timeout", "1s", "--detach", cwd=folder)
    assert (single.returncode, "--detach follows nothing" in single.stderr) == (2, True)


def test_an_interrupt_of_the_following_leaves_the_suite_run_alone(project: tuple[Program, Path]) -> None:
    program, folder = project
    id = program.run("run", "--remote", "--suite", "slow", "--detach", cwd=folder).stdout.strip()
    until(lambda: newest(program)["counts"].get("running"))
    argv = [sys.executable, "-m", "interfaces.cli.main", "suites", "follow", id]
    pipe = subprocess.PIPE
    running = subprocess.Popen(argv, cwd=folder, env={**os.environ, **program.environ}, stdout=pipe, stderr=pipe, text=True)
    assert running.stderr is not None
    assert running.stderr.readline() == f"suite run {id}\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, f"left to the server: suite run {id}" in err) == (130, True), out + err
    assert newest(program)["verdict"] is None
    assert program.run("suites", "cancel", id).returncode == 0
    until(lambda: newest(program)["verdict"] == "cancelled")


@pytest.mark.parametrize("what", [["login.yaml"], ["--suite", "shop"]])
def test_what_is_said_about_waiting_reaches_every_execution(project: tuple[Program, Path], what: list[str]) -> None:
    program, folder = project
    wish = ["--priority", "high", "--runs-on", "nobody-has-this", "--queue-timeout", "1s"]
    done = program.run("run", "--remote", *what, *wish, cwd=folder)
    assert (done.returncode, "no worker has the label nobody-has-this" in done.stdout) == (3, True), done.stdout + done.stderr
    assert program.json("runs", "ls", "--limit", "1")[0]["verdict"] == "timed_out"
    here = program.run("run", "login.yaml", "--priority", "high", cwd=folder)
    assert (here.returncode, "--priority works with --remote alone" in here.stderr) == (2, True)


def test_nothing_selected_is_an_error_with_a_remedy(project: tuple[Program, Path]) -> None:
    program, folder = project
    done = program.run("run", "--remote", "--suite", "nonesuch", cwd=folder)
    assert (done.returncode, "and suite 'nonesuch'" in done.stderr) == (4, True), done.stderr
    local = program.run("run", "--matrix", "a=b", "login.yaml", cwd=folder)
    assert (local.returncode, "--matrix works with --remote alone" in local.stderr) == (2, True)
    assert program.run("run", "--suite", "shop", cwd=folder).returncode == 0


def test_the_scheduler_may_be_killed_while_fifty_cases_run(project: tuple[Program, Path]) -> None:
    program, folder = project
    rows = ", ".join(f"{{n: {number}}}" for number in range(50))
    text = f"flow:\n  name: many\n  data: {{rows: [{rows}]}}\n  steps:\n    - {{action: delay, config: {{duration: 100ms}}}}\n"
    (folder / "many.yaml").write_text(text)
    id = program.run("run", "--remote", "many.yaml", "--detach", "-j", "5", cwd=folder).stdout.strip()
    for pause in (0.3, 0.9, 0.5):
        pid = until(lambda: scheduler_of(program))
        os.kill(pid, signal.SIGKILL)
        until(lambda gone=pid: scheduler_of(program) not in (None, gone))  # type: ignore[misc]
        time.sleep(pause)
    row = until(lambda: (found := program.json("suites", "get", id))["verdict"] and found, 60)
    assert (row["verdict"], row["counts"]) == ("passed", {"passed": 50})
    runs = [run for run in program.json("runs", "ls", "--limit", "500") if run["flow_name"] == "many"]
    assert sorted(run["id"] for run in runs) == sorted(case["execution"] for case in row["cases"])


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
