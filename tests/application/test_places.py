"""Attempts on workers: each has the files that its flow names, in a folder of its own, and nothing else."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from application.actions.registry import ACTIONS
from application.attempts import Tools
from application.bundles import Bundle
from application.engine.action import Action, ActionContext
from application.engine.errors import ONLY_NAMED
from application.folders import Folders
from tests.support.local import Anywhere, Local, finished, flow, outcomes, small_actions

HOSTILE = (
    "/etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "../other/secret.json",
    "data/../../secret.json",
    "..",
    "~/secret.json",
    "~root/secret.json",
    "file:///etc/passwd",
    "\\\\server\\share\\secret.json",
    "/proc/self/cwd/secret.json",
    "//etc/passwd",
    "data/%2e%2e/%2e%2e/secret.json",
    "../.lock",
)
BELOW = ("~/secret.json", "~root/secret.json", "data/%2e%2e/%2e%2e/secret.json", "\\\\server\\share\\secret.json")
"""To SQLite these are names like any other, of files below the folder."""


class Worker(Local):
    """The engine as workers run it; `look` is an action that notes what its folder holds."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self.base = base
        self.seen: list[Any] = []
        self.modes: set[int] = set()

        async def look(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
            assert context.folder is not None
            self.seen.append(sorted(p.relative_to(context.folder).as_posix() for p in context.folder.rglob("*") if p.is_file()))
            self.modes.add(stat.S_IMODE(context.folder.stat().st_mode))
            return {}

        self.actions = {**ACTIONS, **small_actions(self.calls), "look": Action("look", {}, look)}
        self.folders = Folders(base)
        self.tools = Tools(self.log, self.payloads, self.actions, Anywhere(), b"k" * 32, folders=self.folders)

    def left(self) -> list[str]:
        """What attempts have left, the lock aside."""
        return sorted(path.name for path in self.base.rglob("attempt-*"))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    made.folders.close()


def files(**more: str) -> Bundle:
    return Bundle("flows/a.yaml", {name: content.encode() for name, content in more.items()})


def error(events: list[Any], step: str) -> dict[str, Any]:
    found: dict[str, Any] = outcomes(events)[step]["error"]
    return found


async def test_an_attempt_finds_its_files_in_a_private_folder_that_is_gone_afterwards(worker: Worker) -> None:
    await worker.run(flow("- {action: look}"), bundle=files(**{"data/u.json": "1", "flows/b.yaml": "x"}))
    assert worker.seen == [["data/u.json", "flows/b.yaml"]]
    assert worker.modes == {0o700}
    assert worker.left() == []


async def test_the_folder_goes_whatever_happens(worker: Worker) -> None:
    attempt = worker.attempt(flow("- {action: boom}"), bundle=files(a="1"))
    await attempt.run()
    cancelled = worker.attempt(flow("- {action: nap, config: {seconds: 60}}"), bundle=files(a="1"))
    cancelled.stop("lost")
    await cancelled.run()
    broken = worker.attempt(flow("- {action: log, config: {message: x}}", env_file="- none.env"), bundle=files(a="1"))
    await broken.run()
    assert worker.left() == []


async def test_each_attempt_has_a_folder_of_its_own(worker: Worker) -> None:
    write = "- {action: sqlite.query, config: {connection: made/here.db, query: CREATE TABLE t (n)}}\n- {action: look}"
    for _ in range(2):
        await worker.run(flow(write))
    assert worker.seen == [["made/here.db"], ["made/here.db"]]


@pytest.mark.parametrize("path", HOSTILE)
async def test_no_spelling_of_a_path_leads_out(worker: Worker, path: str, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"a": "canary"}')
    steps = {
        "input_file": "action: transform, config: {input_file: '${path}', operations: [count]}",
        "glob": "action: for_each, config: {glob: '${path}', steps: [{action: look}]}",
        "contract_file": "action: contract_verify, config: {contract_file: '${path}', provider_base_url: 'http://127.0.0.1:9'}",
        "proto_file": "action: grpc_call, config: {address: 'a:1', service: s, method: m, proto_file: '${path}.proto'}",
        "flow": "action: run_flow, config: {flow: '${path}'}",
        "flow_file": "action: run_flow, config: {flow: '${path}.yaml'}",
    }
    if path not in BELOW:
        steps["connection"] = "action: sqlite.query, config: {connection: '${path}', query: SELECT 1}"
    text = flow("\n".join(f"- {{id: {id}, {step}}}" for id, step in steps.items()), config="fail_fast: false")
    events = await worker.run(text, variables={"path": path}, bundle=files(**{"data/u.json": "1"}))
    for id in steps:
        found = error(events, id)
        assert (found["kind"], id.removesuffix("_file") in found["message"]) == ("config", True), (id, found)
    assert not worker.seen
    assert "canary" not in str([vars(event) for event in events])
    assert worker.left() == []


async def test_links_that_a_step_could_follow_do_not_come_with_a_bundle(worker: Worker) -> None:
    await worker.run(flow("- {action: look}"), bundle=files(**{"link": "/etc/passwd"}))
    assert worker.seen == [["link"]]


async def test_what_did_not_come_along_is_told_with_a_remedy(worker: Worker) -> None:
    text = (
        "- {id: f, action: transform, config: {input_file: 'data/${kind}.json', operations: [count]}}\n"
        "- {id: g, action: for_each, config: {glob: 'data/${kind}*', steps: [{action: look}]}}\n"
        "- {id: c, action: run_flow, config: {flow: '${kind}.yaml'}}"
    )
    events = await worker.run(flow(text, config="fail_fast: false"), variables={"kind": "x"}, bundle=files(a="1"))
    assert [error(events, step)["hint"] for step in ("f", "g", "c")] == [ONLY_NAMED] * 3


async def test_variables_of_a_file_win_over_env_and_lose_to_those_of_the_request(worker: Worker) -> None:
    text = flow(
        "- {action: say, config: {message: '${a} ${b} ${c}'}}",
        env="{a: env, b: env, c: env}",
        env_file="- ../all.env\n- own.env",
    )
    bundle = files(**{"all.env": "a=all\nb=all", "flows/own.env": "b=own"})
    await worker.run(text, variables={"a": "given"}, bundle=bundle)
    assert worker.calls.seen == ["given own env"]


async def test_a_flow_without_its_file_of_variables_does_not_begin(worker: Worker) -> None:
    end = finished(await worker.run(flow("- {action: say, config: {message: x}}", env_file="- own.env")))
    assert (end.verdict, end.cause) == ("error", "missing_file")
    assert "own.env" in end.message
    assert worker.calls.seen == []


@pytest.mark.parametrize("path", HOSTILE)
async def test_no_file_of_variables_is_read_outside(worker: Worker, path: str) -> None:
    text = flow("- {action: say, config: {message: x}}", env_file=f"- '{path}'")
    end = finished(await worker.run(text, bundle=files(**{"flows/x": "a=1"})))
    assert (end.verdict, end.cause, worker.calls.seen) == ("error", "missing_file", [])


async def test_snapshots_come_along_and_none_is_accepted(worker: Worker) -> None:
    text = flow(
        "- {id: same, action: say, config: {message: x}, assert: ['snapshot(body, \"one\")']}\n"
        "- {id: other, action: say, config: {message: y}, assert: ['snapshot(body, \"one\")']}\n"
        "- {id: new, action: say, config: {message: x}, assert: ['snapshot(body, \"two\")']}\n",
        config="fail_fast: false",
    )
    events = await worker.run(text, bundle=files(**{"flows/__snapshots__/a.json": '{"one": "x"}'}))
    assert [outcomes(events)[step]["verdict"] for step in ("same", "other", "new")] == ["passed", "failed", "failed"]
    assert "accept it with --update-snapshots" in str(outcomes(events)["new"])


async def test_a_broken_snapshot_file_is_told_at_once(worker: Worker) -> None:
    events = await worker.run(flow("- {action: look}"), bundle=files(**{"flows/__snapshots__/a.json": "{"}))
    assert (finished(events).verdict, worker.seen) == ("error", [])


CALLED = (
    "flow: {name: %s, id: %s-id, outputs: {said: $.said}, steps: [{action: say, config: {message: %s}, output: {said: body}}]}"
)


async def test_flows_are_called_by_path_from_the_flow_or_the_project_by_name_and_by_id(worker: Worker) -> None:
    bundle = files(
        **{
            "flows/near.yaml": CALLED % ("near", "near", "near"),
            "parts/far.yaml": CALLED % ("far", "far", "far"),
            "parts/deep.yaml": "flow: {name: deep, steps: [{action: run_flow, config: {flow: far.yaml}}]}",
            "data/rows.yaml": "- 1",
        }
    )
    for reference in ("near.yaml", "flows/near.yaml", "../parts/far.yaml", "parts/far.yaml", "far", "far-id", "deep"):
        events = await worker.run(flow(f"- {{id: c, action: run_flow, config: {{flow: {reference}}}}}"), bundle=bundle)
        assert finished_last(events) == "passed", (reference, outcomes(events))
    assert worker.calls.seen == ["near", "near", "far", "far", "far", "far", "far"]


def finished_last(events: list[Any]) -> str:
    return str(events[-1].verdict)


async def test_of_equal_names_the_first_of_the_project_is_called(worker: Worker) -> None:
    bundle = files(**{"a/x.yaml": CALLED % ("same", "a", "below"), "b.yaml": CALLED % ("same", "b", "above")})
    await worker.run(flow("- {action: run_flow, config: {flow: same}}"), bundle=bundle)
    assert worker.calls.seen == ["above"]


async def test_a_called_flow_that_is_broken_says_so(worker: Worker) -> None:
    events = await worker.run(
        flow("- {id: c, action: run_flow, config: {flow: b.yaml}}"), bundle=files(**{"b.yaml": "flow: 1"})
    )
    assert "not valid" in error(events, "c")["message"]


async def test_databases_of_a_flow_are_bounded_in_size_and_number(worker: Worker) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40)"
    fill = f"CREATE TABLE t AS {numbers} SELECT zeroblob(500000) FROM n"
    many = "\n".join(f"- {{action: sqlite.query, config: {{connection: {n}.db, query: SELECT 1}}}}" for n in range(11))
    events = await worker.run(flow(f"- {{id: fill, action: sqlite.query, config: {{connection: a.db, query: '{fill}'}}}}"))
    assert "full" in error(events, "fill")["message"]
    assert "may open 10" in str(outcomes(await worker.run(flow(many)))["step_11"]["error"])
    assert worker.left() == []


async def test_what_a_flow_writes_is_bounded(worker: Worker) -> None:
    config = (
        "{consumer: c, provider: p, output_file: 'o.json', interactions: [{description: d, request: {method: GET, path: /},"
    )
    config += " response: {status: 200, body: '${text}'}}]}"
    text = flow(f"- action: for_each\n  config: {{range: 40, steps: [{{id: w, action: contract_generate, config: {config}}}]}}")
    events = await worker.run(text, variables={"text": "x" * 600_000})
    assert "may write 16,777,216 bytes" in str([vars(event) for event in events])
    assert finished(events).verdict == "error"


async def test_without_room_the_execution_is_left_to_others(worker: Worker, tmp_path: Path) -> None:
    worker.folders._base = tmp_path / "nowhere"
    attempt = worker.attempt(flow("- {action: look}"), bundle=files(a="1"))
    assert await attempt.run() is None
    assert attempt.verdict is None
