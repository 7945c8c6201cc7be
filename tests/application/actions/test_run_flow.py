"""Flows that call flows: what goes in and comes out, whose names are known, and that teardown always runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from application.actions.registry import ACTIONS
from application.attempts import Attempt, Tools
from application.documents.source import did_you_mean
from application.engine.action import ActionError
from application.flow_documents import read_flow
from domain.definition import FlowDefinition
from tests.support.local import Anywhere, Local, finished, flow, outcomes, small_actions

LOGIN = """flow:
  name: login
  inputs: {user: nobody}
  outputs: {token: $.token}
  env: {where: inside}
  setup: [{id: up, action: say, config: {message: up}}]
  steps:
    - {id: l, action: say, config: {message: "${user}/${where}/${given ?? 'none'}/${outer ?? 'none'}"}, output: {token: $}}
  teardown: [{id: down, action: say, config: {message: "down ${token ?? 'nothing'}"}}]
"""


class Library:
    """Flows by name, from texts."""

    def __init__(self, local: Local, **texts: str) -> None:
        self._flows = {
            name: read_flow(text, file=f"{name}.yaml", actions=local.actions, strict=False)[0] for name, text in texts.items()
        }

    def find(self, reference: str, near: str) -> FlowDefinition:
        if reference not in self._flows:
            raise ActionError("config", f"there is no flow {reference!r}", hint=did_you_mean(reference, self._flows))
        return self._flows[reference]


def local_with(**texts: str) -> Local:
    local = Local()
    local.actions = {**ACTIONS, **small_actions(local.calls)}
    library = Library(local, **texts)
    local.tools = Tools(local.log, local.payloads, local.actions, Anywhere(), b"k" * 32, flows=library)
    return local


def verdicts(events: list[Any]) -> dict[str, str]:
    return {path: outcome["verdict"] for path, outcome in outcomes(events).items()}


async def test_inputs_go_in_and_outputs_come_out() -> None:
    local = local_with(login=LOGIN)
    text = "- {id: c, action: run_flow, config: {flow: login, inputs: {user: ada}}, output: {t: flow.output.token}}\n"
    text += "- {id: after, action: say, config: {message: '${t} ${c.output.token}'}}"
    events = await local.run(flow(text), variables={"given": "from outside"})
    assert verdicts(events) == dict.fromkeys(("c/up", "c/l", "c/down", "c", "after"), "passed")
    token = "ada/inside/from outside/none"
    assert local.calls.seen == ["up", token, f"down {token}", f"{token} {token}"]


async def test_it_sees_the_callers_variables_only_when_it_inherits_and_never_its_outputs() -> None:
    local = local_with(login=LOGIN)
    text = "- {id: o, action: say, config: {message: x}, output: {outer: $}}\n"
    text += "- {id: c, action: run_flow, config: {flow: login, inherit_env: false}}"
    await local.run(flow(text), variables={"given": "from outside"})
    assert local.calls.seen[2] == "nobody/inside/none/none"


async def test_what_the_called_flow_makes_is_not_known_outside() -> None:
    local = local_with(login=LOGIN)
    text = (
        "- {id: c, action: run_flow, config: {flow: login}}\n- {id: after, action: say, config: {message: "
        "\"${token ?? 'unknown'}\"}}"
    )
    await local.run(flow(text))
    assert local.calls.seen[-1] == "unknown"


async def test_a_failure_inside_fails_the_step_runs_its_teardown_and_names_the_file() -> None:
    lines = ["    - {id: l, action: fail, output: {token: $}}" if "id: l," in line else line for line in LOGIN.splitlines()]
    local = local_with(login="\n".join(lines))
    events = await local.run(flow("- {id: c, action: run_flow, config: {flow: login}}"))
    assert verdicts(events) == {"c/up": "passed", "c/l": "failed", "c/down": "passed", "c": "failed"}
    assert outcomes(events)["c/l"]["file"] == "login.yaml"
    assert outcomes(events)["c"]["error"] | {"line": 0, "column": 0} == {
        "kind": "nested",
        "message": "login: l: it does not hold",
        "hint": None,
        "line": 0,
        "column": 0,
        "excerpt": None,
    }
    assert local.calls.seen[-1] == "down nothing"


async def test_a_teardown_that_fails_inside_is_a_failure() -> None:
    local = local_with(
        login=LOGIN.replace("{id: down, action: say, config: {message: \"down ${token ?? 'nothing'}\"}}", "{action: fail}")
    )
    events = await local.run(flow("- {id: c, action: run_flow, config: {flow: login}}"))
    assert finished(events).verdict == "failed"


@pytest.mark.parametrize("why", ["cancelled", "timed_out"])
async def test_a_cut_off_call_still_tears_down(why: Any) -> None:
    nap = LOGIN.replace("  teardown:", "    - {id: n, action: nap, config: {seconds: 5}}\n  teardown:")
    local = local_with(login=nap)
    text = flow(
        "- {id: c, action: run_flow, config: {flow: login}}", teardown="- {id: t, action: say, config: {message: outer down}}"
    )
    attempt = Attempt(local.tools, local.request(text), "me")
    task = asyncio.create_task(attempt.run())
    while "nap" not in local.calls.seen:
        await asyncio.sleep(0.001)
    attempt.stop(why)
    await task
    assert local.calls.seen[-2:] == ["down nobody/inside/none/none", "outer down"]
    assert verdicts(local.events()) | {"c/up": "", "c/l": ""} == {
        "c/up": "",
        "c/l": "",
        "c/n": why,
        "c/down": "passed",
        "c": why,
        "t": "passed",
    }


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ("{flow: logn}", "there is no flow 'logn'", 'did you mean "login"?'),
        ("{flow: login, inputs: {usr: 1}}", "login takes no input 'usr'", 'did you mean "user"?'),
        ("{flow: '${\"\"}'}", "path, name or id", None),
        ("{flow: again}", "more than 10 deep", None),
    ],
)
async def test_what_cannot_be_called_is_told(config: str, message: str, hint: str | None) -> None:
    again = "flow: {name: again, steps: [{id: r, action: run_flow, config: {flow: again}}]}"
    local = local_with(login=LOGIN, again=again)
    events = await local.run(flow(f"- {{id: c, action: run_flow, config: {config}}}"))
    deepest = max(outcomes(events), key=len)
    error = outcomes(events)[deepest]["error"]
    assert message in error["message"]
    assert error["hint"] == hint


async def test_where_no_flow_can_be_called_the_step_says_so() -> None:
    local = Local()
    local.actions = {**ACTIONS}
    local.tools = Tools(local.log, local.payloads, local.actions, Anywhere(), b"k" * 32)
    events = await local.run(flow("- {id: c, action: run_flow, config: {flow: login}}"))
    assert "no flow here" in outcomes(events)["c"]["error"]["message"]


async def test_random_values_differ_from_call_to_call() -> None:
    local = local_with(one="flow: {name: one, env: {id: '${UUID}'}, steps: [{action: say, config: {message: '${id}'}}]}")
    await local.run(flow("- {id: a, action: run_flow, config: {flow: one}}\n- {id: b, action: run_flow, config: {flow: one}}"))
    assert len(set(local.calls.seen)) == 2


async def test_inputs_come_from_a_file_and_those_of_the_step_win(tmp_path: Path) -> None:
    (tmp_path / "ada.yaml").write_text("user: ada\nrole: admin\n")
    (tmp_path / "list.json").write_text("[1]")
    login = "flow: {name: login, inputs: {user: x, role: y}, steps: [{action: say, config: {message: '${user} ${role}'}}]}"
    local = local_with(login=login)
    local.tools = replace(local.tools, folder=tmp_path)
    step = "- {id: c, action: run_flow, config: {flow: login, input_file: ada.yaml, input: {role: guest}},"
    events = await local.run(flow(f"{step} assert: [flow.status == 'success', flow.name == 'login']}}"))
    assert verdicts(events)["c"] == "passed"
    assert local.calls.seen == ["ada guest"]
    for file, message in {"list.json": "must hold an object", "../x.json": "below the project", "no.json": "no file"}.items():
        events = await Local.run(local, flow(f"- {{id: c, action: run_flow, config: {{flow: login, input_file: {file}}}}}"))
        assert message in outcomes(events)["c"]["error"]["message"]


async def test_the_on_error_of_a_called_flow_runs_when_it_fails() -> None:
    local = local_with(
        one="flow: {name: one, steps: [{id: bad, action: fail}],"
        " teardown: [{action: say, config: {message: '${FLOW_STATUS}'}}],"
        " on_error: [{id: told, action: say, config: {message: '${failed_step.id}'}}]}"
    )
    events = await local.run(flow("- {id: c, action: run_flow, config: {flow: one}}"))
    assert verdicts(events) == {
        "c/bad": "failed", "c/on_error/told": "passed", "c/step_2": "passed", "c": "failed"
    }  # fmt: skip
    assert local.calls.seen == ["bad", "failed"]


TYPED = """flow:
  name: typed
  inputs:
    user: {type: string, required: true, description: who}
    times: {type: integer, default: 2}
    flags: {type: object}
    plain: {mode: fast}
  steps:
    - {id: l, action: say, config: {message: "${user}/${times + 1}/${flags?.a ?? 'none'}/${plain.mode}"}}
"""


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("{user: ada}", "ada/3/none/fast"),
        ("{user: 7, times: '4', flags: '{\"a\": 1}'}", "7/5/1/fast"),
        ("{user: ada, flags: {a: 2}, plain: {mode: slow}}", "ada/3/2/slow"),
    ],
)
async def test_declared_inputs_have_defaults_and_their_types(inputs: str, said: str) -> None:
    local = local_with(typed=TYPED)
    await local.run(flow(f"- {{id: c, action: run_flow, config: {{flow: typed, inputs: {inputs}}}}}"))
    assert local.calls.seen == [said]


@pytest.mark.parametrize(
    ("inputs", "message", "hint"),
    [
        ("{}", "typed needs the input 'user'", "give it below inputs"),
        ("{user: null}", "typed needs the input 'user'", "give it below inputs"),
        ("{user: a, times: soon}", "the input 'times' must be of the type integer; the text that it is reads as none", None),
        ("{user: a, times: 1.5}", "the input 'times' must be of the type integer; it is a number", None),
        ("{user: [a]}", "the input 'user' must be of the type string; it is a list", None),
    ],
)
async def test_an_input_that_is_missing_or_of_another_type_is_an_error(inputs: str, message: str, hint: str | None) -> None:
    local = local_with(typed=TYPED)
    events = await local.run(flow(f"- {{id: c, action: run_flow, config: {{flow: typed, inputs: {inputs}}}}}"))
    error = outcomes(events)["c"]["tries"][0]["error"]
    assert error["message"] == message
    assert hint is None or error["hint"] == hint
    assert local.calls.seen == []


async def test_a_flow_that_is_run_by_itself_takes_its_inputs_from_variables() -> None:
    text = "flow:\n  name: f\n  inputs: {n: {type: number, required: true}}\n"
    text += "  steps: [{id: s, action: say, config: {message: '${n + 1}'}}]\n"
    local = local_with()
    assert finished(await local.run(text, variables={"n": "1.5"})).verdict == "passed"
    assert local.calls.seen == [2.5]
    ended = finished(await local_with().run(text))
    assert (ended.verdict, ended.message) == ("error", "f needs the input 'n': give it with --var n=...")
