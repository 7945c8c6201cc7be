"""The table of actions: complete, unambiguous, light, and understood by documents and engine."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from application.actions.registry import ACTIONS, TABLE, all_actions
from application.documents.actions import config_record, find_action
from application.engine.action import Action
from domain.errors import InvalidFlow
from tests.support.local import Local, finished, flow, outcomes

ALL = all_actions()
CLIENTS = (
    "aiokafka",
    "grpc",
    "google.protobuf",
    "psycopg",
    "redis",
    "httpx",
    "aiohttp",
    "httpcore",
    "h2",
    "cryptography",
    "pymysql",
    "sqlite3",
)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_says_the_same_as_the_action(name: str) -> None:
    assert ACTIONS[name].name == name
    assert ACTIONS[name].aliases == tuple(TABLE[name].split()[1:])


def test_no_name_or_alias_means_two_actions() -> None:
    names = Counter(name for action in ALL for name in (action.name, *action.aliases))

    assert names.most_common(1)[0][1] == 1
    assert set(names) == set(ACTIONS)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("http_request", "http_request"),
        ("http", "http_request"),
        ("wait_for", "wait_for"),
        ("database_query", "database_query"),
        ("postgresql.query", "postgresql.query"),
        ("postgresql.insert", "postgresql.query"),
        ("mysql.query", "mysql.query"),
        ("mysql.execute", "mysql.query"),
        ("mariadb.query", "mysql.query"),
        ("sqlite.query", "sqlite.query"),
        ("sqlite.select", "sqlite.query"),
        ("db_poll", "db_poll"),
        ("redis.get", "redis.get"),
        ("redis_set", "redis.set"),
        ("redis.delete", "redis.del"),
        ("redis_exists", "redis.exists"),
        ("redis.command", "redis.command"),
        ("kafka_publish", "kafka_producer"),
        ("kafka.produce", "kafka_producer"),
        ("kafka.publish", "kafka_producer"),
        ("kafka_consume", "kafka_consumer"),
        ("kafka.consume", "kafka_consumer"),
        ("kafka.subscribe", "kafka_subscribe"),
        ("grpc", "grpc_call"),
        ("grpc.call", "grpc_call"),
        ("grpc_stream", "grpc_call"),
        ("assert", "assert"),
        ("log", "log"),
        ("delay", "delay"),
    ],
)
def test_every_documented_name_is_found(name: str, action: str) -> None:
    found = find_action(name, ACTIONS)

    assert found is not None
    assert found.name == action


@pytest.mark.parametrize("name", ["oracle.query", "redis.flush", "shell"])
def test_a_name_of_no_action_is_not_found(name: str) -> None:
    assert find_action(name, ACTIONS) is None


@pytest.mark.parametrize("action", ALL, ids=lambda action: action.name)
def test_an_action_describes_itself_its_keys_and_its_result(action: Action) -> None:
    assert action.description.endswith(".")
    assert action.result
    assert all(text.strip() for text in action.result.values())
    assert set(action.unresolved) <= set(action.keys)
    assert config_record(action).schema()["type"] == "object"


def test_the_table_loads_no_client_library() -> None:
    load = "import sys; from application.actions.registry import all_actions; all_actions()"
    code = f"{load}; print([name for name in {CLIENTS!r} if name in sys.modules])"
    root = Path(__file__).parents[3]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    ("library", "name", "config", "extra"),
    [
        ("aiokafka", "kafka_producer", {"brokers": "127.0.0.1:1", "topic": "t", "value": 1}, "kafka"),
        ("aiokafka", "kafka_consumer", {"brokers": "127.0.0.1:1", "topic": "t"}, "kafka"),
        ("aiokafka", "kafka_subscribe", {"brokers": "127.0.0.1:1", "topic": "t", "name": "s"}, "kafka"),
        ("pymysql", "mysql.query", {"connection": "mysql://ann:pw@127.0.0.1:1/db", "query": "SELECT 1"}, "mysql"),
        ("grpc", "grpc_call", {"address": "127.0.0.1:1", "service": "s", "method": "m"}, "grpc"),
    ],
)
def test_a_missing_library_is_told_with_the_extra_that_brings_it(
    library: str, name: str, config: dict[str, object], extra: str
) -> None:
    code = f"""
import asyncio, sys
sys.modules[{library!r}] = None
from application.actions.registry import ACTIONS
from tests.support.action_context import Bench
error = asyncio.run(Bench().error(ACTIONS[{name!r}], {config!r}))
print(error.kind, error.message, error.hint)
"""
    root = Path(__file__).parents[3]
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout

    assert told.startswith(f"config {name.removesuffix('.query')} needs the package ")
    assert told.strip().endswith(f"pip install 'testmesh[{extra}]'")


@pytest.mark.servers
async def test_a_flow_uses_them_together_and_no_password_is_recorded(postgres_url: str, valkey_url: str) -> None:
    local = Local(actions=ACTIONS)
    steps = """
- id: rows
  action: postgresql.select
  config:
    connection: ${database}
    query: SELECT n, 'number ' || n AS name FROM generate_series(1, $1) n
    params: ["${most}"]
  assert: [count == 3, "rows[2].name == 'number 3'", not truncated]
  output: {last: "rows[-1].name"}
- id: keep
  action: redis_set
  config: {url: "${cache}", key: "${EXECUTION_ID}", value: "${last}", ttl: 1m}
  assert: ok
- id: kept
  action: redis.get
  config: {url: "${cache}", key: "${EXECUTION_ID}"}
  assert: value == last
- id: wait
  action: delay
  config: {duration: 1ms}
- id: told
  action: log
  config: {message: "kept ${kept.value} in ${cache} of ${database}"}
- id: sure
  action: assert
  config: {assertions: ["rows.count == 3 && kept.exists", {expression: "most < limit"}], data: {limit: "${most + 1}"}}
- id: gone
  action: redis.del
  config: {url: "${cache}", key: "${EXECUTION_ID}"}
  assert: deleted == 1
"""
    variables = {"database": postgres_url, "cache": valkey_url, "most": 3}
    events = await local.run(flow(steps), variables=variables)

    assert {id: outcome["verdict"] for id, outcome in outcomes(events).items()} == dict.fromkeys(
        ("rows", "keep", "kept", "wait", "told", "sure", "gone"), "passed"
    )
    assert finished(events).verdict == "passed"
    recorded = repr([event.__dict__ for event in events if "Requested" not in type(event).__name__])
    assert recorded.count("[secret:") >= 2
    for url in (postgres_url, valkey_url):
        assert url.split("@")[0].rsplit(":", 1)[1] not in recorded


def test_a_wrong_key_of_a_real_action_is_told_with_what_was_meant() -> None:
    steps = "- action: database_query\n  config: {conection: x, query: SELECT 1}"
    with pytest.raises(InvalidFlow) as invalid:
        Local(actions=ACTIONS).request(flow(steps))

    assert 'did you mean "connection"?' in str(invalid.value)


@pytest.mark.parametrize(
    ("action", "connection", "said"),
    [
        ("database_query", "mysq://ann:s3cret@db/shop", '"connection" cannot begin with "mysq:"'),
        ("db_poll", "mysql+pymysql://ann:${pw}@db/shop", 'did you mean "mysql"?'),
        ("mysql.query", "postgresql://ann@db/shop", '"connection" cannot begin with "postgresql:"'),
        ("sqlite.query", "sqlite3:///shop.db", 'did you mean "sqlite"?'),
    ],
)
def test_a_wrong_scheme_is_found_without_running(action: str, connection: str, said: str) -> None:
    steps = f"- action: {action}\n  config: {{connection: '{connection}', query: SELECT 1}}"
    with pytest.raises(InvalidFlow) as invalid:
        Local(actions=ACTIONS).request(flow(steps, env="pw: x"))

    assert said in str(invalid.value)
    assert all("s3cret" not in problem.title for problem in invalid.value.problems)


@pytest.mark.parametrize(
    "connection", ["mysql://ann@db/shop", "${url}", "${kind}://ann@db/shop", "host=db user=ann", "SQLITE::memory:"]
)
def test_a_right_scheme_or_none_is_left_to_the_action(connection: str) -> None:
    steps = f"- action: database_query\n  config: {{connection: '{connection}', query: SELECT 1}}"

    assert Local(actions=ACTIONS).request(flow(steps, env="{url: x, kind: x}"))


async def test_sqlite_keeps_what_steps_share_and_a_worker_opens_no_file() -> None:
    local = Local(actions=ACTIONS)
    steps = """
- action: sqlite.query
  config: {connection: "sqlite::memory:", query: "CREATE TABLE t (j JSON); INSERT INTO t VALUES ('{\\"a\\": [7]}')"}
- action: db_poll
  config: {connection: "sqlite::memory:", query: SELECT * FROM t, condition: {row_count: 1}}
  assert: [success, attempts == 1, "first_row.j.a[0] == 7"]
- action: db_poll
  config: {connection: "sqlite::memory:", query: SELECT * FROM t, condition: {row_count: 2}, timeout: 10ms}
  on_error: continue
- action: database_query
  config: {connection: "sqlite:///shop.db", query: SELECT 1}
  on_error: continue
"""
    found = list(outcomes(await local.run(flow(steps))).values())

    assert [outcome["verdict"] for outcome in found] == ["passed", "passed", "tolerated", "tolerated"]
    assert found[2]["error"]["message"].startswith("expected row_count == 2, it was 1 within 0.01 s (1 try)")
    assert found[2]["result"]["rows"] == [{"j": {"a": [7]}}]
    assert found[3]["error"]["message"] == "a SQLite file needs a folder, and there is none here"


@pytest.mark.parametrize("action", all_actions(), ids=lambda action: action.name)
def test_aliases_of_keys_are_names_of_nothing_else(action: Action) -> None:
    aliases = [alias for key in action.keys.values() for alias in key.aliases]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(action.keys)
    assert all(action.keys[name].description or not action.keys[name].aliases for name in action.keys)
