"""Plugins on a worker: what they are given, and that what they do hurts nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from application.actions.registry import TABLE, Actions
from application.engine.egress import WorkerPolicy
from domain.execution import Execution
from domain.limits import LIMITS, MIB
from interfaces.workers.plugins import process
from interfaces.workers.plugins.apart import ActionsApart
from interfaces.workers.plugins.process import environ_of_plugins
from tests.support.documentation import ROOT
from tests.support.local import Local, finished, flow, outcomes
from tests.support.plugins import leave_installed

CODE = """
import asyncio, decimal, os, signal, sys, time
from application.engine.action import Action, ActionError, ActionFailed, Key
from application.engine.bodies import Body
from application.engine.egress import checked_addresses


class Left:
    def __init__(self, path):
        self.path = path

    async def close(self):
        open(self.path, "a").write("closed")


async def act(config, context):
    match config["do"]:
        case "tell":
            context.secrets("hush-hush")
            context.log("info", "I say hush-hush")
            context.exchange["request"] = {"said": "hush-hush"}
            return {"pid": os.getpid(), "bytes": b"\\0\\xff", "headers": dict(context.headers), "seconds": context.remaining(),
                    "two": context.evaluate("one + 1", {"one": 1}), "rendered": context.render("${word}!", {}),
                    "before": context.exchanges["first"]["result"]["pid"] if "first" in context.exchanges else None,
                    "kept": context.keep({"one": 1}).evaluate("one + 2", {}, 0), "masked": context.mask("hush-hush")}
        case "count":
            context.resources.setdefault("times", []).append(1)
            return {"times": len(context.resources["times"])}
        case "leave":
            context.resources["left"] = Left(config["path"])
            return {}
        case "wait":
            try:
                await asyncio.sleep(60)
            finally:
                open(config["path"], "w").write("released")
        case "go":
            await checked_addresses(context.egress, "127.0.0.1", 9)
        case "block":
            open(config["path"], "w").write(str(os.getpid()))
            time.sleep(60)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "leave the process":
            os._exit(7)
        case "eat":
            return {"size": len(bytearray(config["bytes"]))}
        case "burn":
            while True:
                pass
        case "fail":
            raise ActionFailed("it does not hold", result={"seen": 1})
        case "refuse":
            raise ActionError("connection_refused", "nobody listens", hint="start it")
        case "bug":
            raise KeyError("oh")
        case "strange":
            return {"price": decimal.Decimal(1)}
        case "much":
            return {"text": "x" * config["bytes"]}
        case "environ":
            return {"environ": dict(os.environ)}
        case "twice":
            results = [await context.bodies.run(Body("steps", f"[{number}]", names={"number": number})) for number in (1, 2)]
            context.bodies.learn(results)
            return {"ok": all(result.ok for result in results), "ids": context.bodies.ids("steps")}
        case "all":
            bodies = [Body("steps", f"[{number}]", names={"number": number}) for number in (1, 2, 3)]
            return {"ok": [result.ok for result in await context.bodies.run_all(bodies, at_once=3)]}
        case "print":
            print("not a message")
            sys.stdout.flush()
            return {}


ANY = Key(("any",))
RESULT = "pid bytes headers seconds two rendered before kept masked times size ok ids environ price text"
ACT = Action("acme.act", {"do": Key(("string",), True), "path": ANY, "bytes": ANY, "steps": Key(("steps",))}, act,
             result={name: name for name in RESULT.split()})
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """A worker's engine, with a package whose action does what it is told to."""
    before = set(sys.modules)
    leave_installed(tmp_path, "acme-acts", CODE, acme__act="ACT")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    yield Local(ActionsApart(Actions(TABLE)))
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


async def made(here: Local, **config: Any) -> Any:
    """The outcome of one step that does this."""
    step = f"- {{id: first, action: acme.act, config: {config}}}"
    return outcomes(await here.run(flow(step), variables={"word": "hey"}))["first"]


async def test_it_has_the_context_of_a_built_in_action_in_a_process_of_its_own(here: Local) -> None:
    outcome = await made(here, do="tell")

    assert outcome["verdict"] == "passed", outcome["error"]
    result = outcome["result"]
    assert result["pid"] != os.getpid()
    assert result["headers"]["X-TestMesh-Step"] == "first"
    assert (result["two"], result["kept"], result["rendered"], result["before"]) == (2, 3, "hey!", None)
    assert "hush-hush" not in str(here.events())
    assert outcome["exchange"]["request"]["said"] == result["masked"]
    lines = [str(event) for event in here.events() if isinstance(event, Execution.LogWritten)]
    assert any(f"I say {result['masked']}" in line for line in lines), lines


async def test_steps_of_one_execution_share_it_and_it_closes_what_they_left_open(here: Local, tmp_path: Path) -> None:
    steps = """
- {id: first, action: acme.act, config: {do: tell}}
- {id: once, action: acme.act, config: {do: count}}
- {id: twice, action: acme.act, config: {do: count}}
- {id: again, action: acme.act, config: {do: tell}, assert: ["before == first.pid", "pid == first.pid"]}
- {action: acme.act, config: {do: leave, path: "${left}"}}
"""
    left = tmp_path / "left"
    events = await here.run(flow(steps), variables={"left": str(left), "word": "hey"})

    assert finished(events).verdict == "passed", outcomes(events)
    assert outcomes(events)["twice"]["result"]["times"] == 2
    assert left.read_text() == "closed"


async def test_its_addresses_are_judged_by_the_worker(here: Local) -> None:
    outcome = await made(Local(here.actions, WorkerPolicy()), do="go")

    assert (outcome["verdict"], outcome["error"]["kind"]) == ("error", "egress")
    assert "127.0.0.1:9 may not be reached from here" in outcome["error"]["message"]


@pytest.mark.parametrize(
    ("do", "verdict", "kind", "said"),
    [
        ("crash", "error", "plugin_ended", "the process of acme.act (acme-acts 1.0) ended: SIGSEGV"),
        ("leave the process", "error", "plugin_ended", "the process of acme.act (acme-acts 1.0) ended: exit code 7"),
        ("fail", "failed", "failed", "it does not hold"),
        ("refuse", "error", "connection_refused", "nobody listens"),
        ("bug", "error", "internal", "KeyError: 'oh'"),
        ("strange", "error", "internal", "the result of acme.act has a Decimal: it must be plain data"),
    ],
)
async def test_what_goes_wrong_in_it_is_an_outcome_and_the_next_step_runs(
    here: Local, do: str, verdict: str, kind: str, said: str
) -> None:
    steps = f"""
- {{id: first, action: acme.act, config: {{do: {do}}}, on_error: continue}}
- {{id: next, action: acme.act, config: {{do: count}}}}
"""
    events = await here.run(flow(steps))

    outcome = outcomes(events)["first"]
    assert (outcome["verdict"], outcome["reason"], outcome["error"]["kind"]) == (
        "tolerated",
        f"on_error: continue ({verdict})",
        kind,
    )
    assert said in outcome["error"]["message"]
    assert outcomes(events)["next"]["verdict"] == "passed"


async def test_memory_and_processor_time_are_bounded(here: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(process.__dict__, "LIMITS", limits_with(plugin_memory_bytes=256 * MIB, plugin_cpu_seconds=2.0))

    hungry = await made(here, do="eat", bytes=512 * MIB)
    fed = outcomes(await here.run(flow(f"- {{id: fed, action: acme.act, config: {{do: eat, bytes: {64 * MIB}}}}}")))["fed"]
    busy = outcomes(await here.run(flow("- {id: busy, action: acme.act, config: {do: burn}}")))["busy"]

    assert fed["result"] == {"size": 64 * MIB}
    assert (hungry["error"]["kind"], busy["error"]["kind"]) == ("limit", "limit")
    assert "acme.act needed more than 256 MiB of memory" in hungry["error"]["message"]
    assert "acme.act used more than 2 s of processor time" in busy["error"]["message"]
    assert "TESTMESH_LIMIT_PLUGIN_CPU_SECONDS" in busy["error"]["hint"]


def limits_with(**values: Any) -> Any:
    """The limits, some of them with other values."""
    from dataclasses import replace

    return replace(LIMITS, **values)


async def test_a_result_that_is_too_large_is_refused(here: Local) -> None:
    outcome = await made(here, do="much", bytes=LIMITS.response_read_bytes + 1)

    assert (outcome["verdict"], outcome["error"]["kind"]) == ("error", "response_too_large")


async def test_a_step_that_is_stopped_may_release_what_it_holds(here: Local, tmp_path: Path) -> None:
    path = tmp_path / "released"
    step = f"- {{id: slow, action: acme.act, timeout: 1s, config: {{do: wait, path: {path}}}, on_error: continue}}"
    after = "- {id: same, action: acme.act, config: {do: count}}"

    outcome = outcomes(await here.run(flow(f"{step}\n{after}")))

    assert outcome["slow"]["error"]["kind"] == "timeout"
    assert path.read_text() == "released"
    assert outcome["same"]["verdict"] == "passed"


async def test_one_that_does_not_stop_is_ended_and_the_worker_goes_on_meanwhile(here: Local, tmp_path: Path) -> None:
    path, beats = tmp_path / "pid", 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.05)
            beats += 1

    beating = asyncio.create_task(beat())
    step = f"- {{id: slow, action: acme.act, timeout: 2s, config: {{do: block, path: {path}}}}}"
    begun = time.monotonic()
    outcome = outcomes(await here.run(flow(step)))["slow"]
    beating.cancel()

    assert outcome["error"]["kind"] == "timeout"
    assert time.monotonic() - begun < 10
    assert beats > 10
    assert not alive(int(path.read_text()))


async def test_nested_steps_are_run_by_the_worker(here: Local) -> None:
    steps = """
- id: both
  action: acme.act
  config:
    do: twice
    steps:
      - {id: inner, action: assert, config: {assertions: ["number < 3"]}, output: {seen: "number"}}
- {id: after, action: assert, config: {assertions: ["seen == 2"]}}
- id: three
  action: acme.act
  config:
    do: all
    steps:
      - {id: few, action: assert, config: {assertions: ["number < 9"]}}
"""
    events = await here.run(flow(steps))

    found = outcomes(events)
    assert finished(events).verdict == "passed", found
    assert (found["both"]["result"]["ok"], found["three"]["result"]["ok"]) == (True, [True, True, True])
    assert {path for path in found if "inner" in path} == {"both[1]/inner", "both[2]/inner"}


async def test_it_knows_none_of_the_platforms_settings(here: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTMESH_DATABASE_URL", "postgresql://u:sesame@h/d")
    monkeypatch.setenv("ACME_PLACE", "there")

    outcome = await made(here, do="environ")

    assert outcome["result"]["environ"]["ACME_PLACE"] == "there"
    assert "sesame" not in str(outcome)
    assert environ_of_plugins({"TESTMESH_DATABASE_URL": "x", "PATH": "y"}) == {"PATH": "y"}


async def test_what_it_prints_is_no_message(here: Local) -> None:
    assert (await made(here, do="print"))["verdict"] == "passed"


def test_it_ends_with_its_worker_whatever_it_is_doing(here: Local, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    program = f"""
import asyncio
from application.actions.registry import TABLE, Actions
from interfaces.workers.plugins.apart import ActionsApart
from tests.support.local import Local, flow
here = Local(ActionsApart(Actions(TABLE)))
asyncio.run(here.run(flow("- {{action: acme.act, config: {{do: block, path: {path}}}}}")))
"""
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        until = time.monotonic() + 30
        while not path.exists() or not path.read_text():
            assert time.monotonic() < until, "it has not begun"
            time.sleep(0.05)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    pid, until = int(path.read_text()), time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < until, "it outlives its worker"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process of this id runs; one that is dead and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
