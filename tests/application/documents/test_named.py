"""What a flow names beside itself is read from the table of actions, nested steps and places included."""

from __future__ import annotations

from application.actions.registry import ACTIONS
from application.documents.named import Named, named_in
from application.flow_documents import read_flow

FLOW = """
flow:
  name: Everything
  env_file: [a.env, "${where}.env"]
  data: {file: rows.csv}
  setup:
    - {action: transform, config: {input_file: users.json, operations: []}}
  steps:
    - action: for_each
      config:
        glob: "data/*.json"
        steps:
          - {action: run_flow, config: {flow: parts/one.yaml}}
          - {action: run_flow, config: {flow: "${which}"}}
    - action: condition
      config:
        if: 1 == 1
        else:
          - {action: contract_verify, config: {contract_file: pact.json, provider_base_url: "http://127.0.0.1:9"}}
    - {action: grpc_call, config: {address: "a:1", service: s, method: m, proto_file: [a.proto, b.proto]}}
    - {action: database_query, config: {connection: "sqlite:///shop.db", query: SELECT 1}}
    - {action: database_query, config: {connection: {type: sqlite, path: other.db}, query: SELECT 1}}
    - {action: database_query, config: {connection: "sqlite::memory:", query: SELECT 1}}
    - {action: database_query, config: {connection: "postgresql://u:passw@h/d", query: SELECT 1}}
    - {action: database_query, config: {connection: "${db}", query: SELECT 1}}
    - {action: sqlite.query, config: {connection: third.db, query: SELECT 1}}
    - action: http_request
      config:
        method: POST
        url: http://127.0.0.1:9/
        multipart: {one: {file: one.png}, two: [{file: two.png}, {value: "x"}], three: text, four: {file: "${name}"}}
    - {action: contract_generate, config: {consumer: c, provider: p, interactions: [], output_file: out.json}}
    - action: log
      config: {message: hello}
      on_error: {action: continue, error_steps: [{action: transform, config: {input_file: last.json, operations: []}}]}
"""


def named() -> list[Named]:
    definition, _ = read_flow(FLOW, actions=ACTIONS)
    return list(named_in(definition, ACTIONS))


def test_everything_that_is_read_is_named_and_nothing_that_is_written() -> None:
    assert [(name.kind, name.text) for name in named()] == [
        ("env_file", "a.env"),
        ("env_file", "${where}.env"),
        ("data", "rows.csv"),
        ("file", "users.json"),
        ("glob", "data/*.json"),
        ("flow", "parts/one.yaml"),
        ("flow", "${which}"),
        ("file", "pact.json"),
        ("proto", "a.proto"),
        ("proto", "b.proto"),
        ("database", "shop.db"),
        ("database", "other.db"),
        ("database", "third.db"),
        ("file", "one.png"),
        ("file", "two.png"),
        ("file", "${name}"),
        ("file", "last.json"),
    ]


def test_names_with_templates_are_not_known_before_the_run() -> None:
    assert [name.text for name in named() if not name.known] == ["${where}.env", "${which}", "${name}"]


def test_each_name_tells_its_place() -> None:
    definition, _ = read_flow(FLOW, actions=ACTIONS)
    lines = FLOW.splitlines()
    for name in named():
        if name.kind not in ("env_file", "data", "database"):
            line = definition.position(name.path).line
            assert name.text in lines[line - 1], name


def test_every_key_that_is_described_as_a_file_of_the_project_says_what_it_names() -> None:
    written = {(action.name, name) for action in ACTIONS.values() for name, key in action.keys.items() if key.writes}
    told = {
        (action.name, name)
        for action in ACTIONS.values()
        for name, key in action.keys.items()
        if "below the project" in key.description or name.endswith("_file") or name == "glob"
    }
    silent = {(name, key) for name, key in told if ACTIONS[name].keys[key].names is None}
    assert silent == written
