"""Mock servers in flows: how long they live, who may reach them, what is recorded, which names they know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from application.actions.registry import ACTIONS
from application.attempts import Attempt
from application.engine.action import Action, ActionContext, Key
from application.engine.egress import LocalPolicy, WorkerPolicy
from application.flow_documents import read_flow
from domain.errors import InvalidFlow
from tests.support.http_server import always, http_server, reply
from tests.support.local import Local, finished, flow, outcomes

START = """
- id: mock
  action: mock_server_start
  config:
    endpoints:
      - path: /hello/:name
        response: {body: {hello: "${request.params.name}", from: "${who}"}}
"""
ASK = """
- id: ask
  action: http_request
  config: {method: GET, url: "${mock.base_url}/hello/you"}
  assert: [status == 200, body.hello == 'you']
"""


class Ports:
    """An action `meet` that tells the test a port, and waits until the test says so."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.met = asyncio.Event()
        self.go = asyncio.Event()

    def actions(self) -> Mapping[str, Action]:
        """All real actions, and this one."""

        async def meet(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
            self.seen.append(int(config["port"]))
            self.met.set()
            if config.get("wait"):
                await self.go.wait()
            return {}

        keys = {"port": Key(("integer",)), "wait": Key(("boolean",))}
        return {**{name: ACTIONS[name] for name in ACTIONS}, "meet": Action("meet", keys, meet)}


def local(ports: Ports | None = None) -> Local:
    """A local run with real actions."""
    return Local(actions=(ports or Ports()).actions(), egress=LocalPolicy())


async def is_open(port: int) -> bool:
    """Whether anybody listens."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def verdicts(events: list[Any]) -> dict[str, str]:
    """Verdicts by the step's path."""
    return {path: outcome["verdict"] for path, outcome in outcomes(events).items()}


async def test_a_flow_asks_its_own_mock_and_verifies_what_came() -> None:
    steps = (
        START
        + ASK
        + """
- id: sure
  action: mock_server_verify
  config: {path: /hello/you, method: GET, count: 1, match: "request.params.name == 'you' && who == 'me'"}
  assert: [count == 1, "matched[0].params.name == 'you'", "len(requests) == 1"]
- id: end
  action: mock_server_stop
  assert: [stopped, count == 1]
"""
    )
    events = await local().run(flow(steps, env="who: me"))
    assert verdicts(events) == dict.fromkeys(("mock", "ask", "sure", "end"), "passed")
    assert outcomes(events)["ask"]["result"]["body"] == {"hello": "you", "from": "me"}


@pytest.mark.parametrize("last", ["", "- {id: bad, action: assert, config: {assertions: ['1 == 2']}}"])
async def test_a_mock_is_gone_after_the_execution_even_when_it_failed(last: str) -> None:
    ports = Ports()
    ask = '{id: still, action: http_request, config: {method: GET, url: "${mock.base_url}/hello/x"}, assert: [status == 200]}'
    steps = START + '- {id: meet, action: meet, config: {port: "${mock.port}"}}\n' + last
    events = await local(ports).run(flow(steps, env="who: me", teardown=f"- {ask}"))
    assert finished(events).verdict == ("failed" if last else "passed")
    assert verdicts(events)["still"] == "passed"
    assert not await is_open(ports.seen[0])


async def test_a_mock_is_gone_when_its_execution_is_cancelled_under_a_request() -> None:
    ports = Ports()
    here = local(ports)
    steps = START.replace("response:", "fault: hang\n        response:") + (
        '- {id: meet, action: meet, config: {port: "${mock.port}"}}\n'
        '- {id: ask, action: http_request, config: {method: GET, url: "${mock.base_url}/hello/x"}}'
    )
    attempt = here.attempt(flow(steps, env="who: me"))
    running = asyncio.create_task(attempt.run())
    await ports.met.wait()
    assert await is_open(ports.seen[0])
    attempt.stop("cancelled")
    async with asyncio.timeout(5):
        await running
    await here.tools.close()
    assert finished(here.events()).verdict == "cancelled"
    assert not await is_open(ports.seen[0])


async def test_two_executions_with_the_same_name_do_not_meet() -> None:
    ports = Ports()
    here = local(ports)
    text = flow(START + '- {id: meet, action: meet, config: {port: "${mock.port}", wait: true}}\n' + ASK, env="who: me")
    attempts: list[Attempt] = [here.attempt(text, variables={"who": who}) for who in ("one", "two")]
    running = [asyncio.create_task(attempt.run()) for attempt in attempts]
    while len(ports.seen) < 2:
        ports.met.clear()
        await ports.met.wait()
    async with aiohttp.ClientSession() as client:
        told = set()
        for port in ports.seen:
            async with client.get(f"http://127.0.0.1:{port}/hello/x") as answer:
                told.add((await answer.json())["from"])
    ports.go.set()
    await asyncio.gather(*running)
    await here.tools.close()
    assert told == {"one", "two"}
    assert [attempt.verdict for attempt in attempts] == ["passed", "passed"]


async def test_on_a_worker_a_mock_is_reached_by_its_own_execution_until_it_stops_and_nothing_else_is() -> None:
    async with http_server(always(reply("other"))) as other:
        steps = (
            START
            + ASK
            + f"""
- {{id: other, action: http_request, config: {{method: GET, url: "{other.url}"}}, on_error: continue}}
- {{id: end, action: mock_server_stop}}
- {{id: after, action: http_request, config: {{method: GET, url: "${{mock.base_url}}/hello/you"}}, on_error: continue}}
"""
        )
        here = Local(actions=ACTIONS, egress=WorkerPolicy())
        events = await here.run(flow(steps, env="who: me"))
        assert other.requests == []
    found = outcomes(events)
    assert found["ask"]["verdict"] == "passed"
    assert found["other"]["error"]["kind"] == "egress"
    assert found["after"]["error"]["kind"] == "egress"


async def test_the_mock_of_one_execution_is_not_allowed_to_another() -> None:
    ports = Ports()
    here = Local(actions=ports.actions(), egress=WorkerPolicy())
    first = here.attempt(flow(START + '- {id: meet, action: meet, config: {port: "${mock.port}", wait: true}}', env="who: me"))
    running = asyncio.create_task(first.run())
    await ports.met.wait()
    url = f"http://127.0.0.1:{ports.seen[0]}/hello/x"
    second = here.attempt(flow(f'- {{id: ask, action: http_request, config: {{method: GET, url: "{url}"}}}}'))
    await second.run()
    ports.go.set()
    await running
    await here.tools.close()
    assert outcomes(here.events())["ask"]["error"]["kind"] == "egress"


async def test_credentials_that_callers_send_are_not_recorded() -> None:
    steps = (
        START
        + """
- id: ask
  action: http_request
  config:
    method: GET
    url: "${mock.base_url}/hello/you"
    headers: {X-Api-Key: k-12345678}
    auth: {type: bearer, token: "${token}"}
- id: sure
  action: mock_server_verify
  config: {match: "request.headers.authorization == 'Bearer ' + token && request.headers['x-api-key'] == 'k-12345678'"}
"""
    )
    events = await local().run(flow(steps, env="who: me\ntoken: t-87654321"))
    sure = outcomes(events)["sure"]
    assert sure["verdict"] == "passed"
    assert "12345678" not in json.dumps(sure)
    assert "87654321" not in json.dumps(sure)
    assert sure["result"]["matched"][0]["headers"]["X-Api-Key"] == "[masked]"


async def test_a_mock_knows_the_names_of_the_moment_when_it_was_started_or_updated() -> None:
    steps = """
- {id: first, action: say, config: {message: one}, output: {word: body}}
- id: mock
  action: mock_server_start
  config: {endpoints: {/word: {body: "${word} ${first.body}"}}}
- {id: second, action: say, config: {message: two}, output: {word: body}}
- {id: before, action: http_request, config: {method: GET, url: "${mock.url}/word"}, assert: [text == 'one one']}
- {id: change, action: mock_server_configure, config: {endpoints: {/word: {body: "${word}"}}}}
- {id: after, action: http_request, config: {method: GET, url: "${mock.url}/word"}, assert: [text == 'two']}
"""
    here = Local(egress=LocalPolicy())
    here = Local(actions={**{name: ACTIONS[name] for name in ACTIONS}, **here.actions}, egress=LocalPolicy())
    assert finished(await here.run(flow(steps))).verdict == "passed"


async def test_a_second_start_under_the_same_name_is_an_error() -> None:
    events = await local().run(flow(START + START.replace("id: mock", "id: again"), env="who: me"))
    assert "runs already" in outcomes(events)["again"]["error"]["message"]


@pytest.mark.parametrize(
    ("template", "valid"),
    [("${request.body.x}", True), ("${state.x}", True), ("${base_url}", True), ("${who}", True), ("${requst.body}", False)],
)
def test_validation_knows_the_names_of_a_mock(template: str, valid: bool) -> None:
    text = flow(START.replace("${who}", "${who} " + template), env="who: me")
    if valid:
        assert read_flow(text, file="f.yaml", actions=ACTIONS, known_variables=set())[1] == ()
        return
    with pytest.raises(InvalidFlow) as invalid:
        read_flow(text, file="f.yaml", actions=ACTIONS, known_variables=set())
    assert 'did you mean "request"?' in str(invalid.value)


def test_request_is_no_name_outside_of_a_mock() -> None:
    text = flow("- {action: log, config: {message: '${request.body}'}}")
    with pytest.raises(InvalidFlow, match='Nothing defines "request"'):
        read_flow(text, file="f.yaml", actions=ACTIONS, known_variables=set())
