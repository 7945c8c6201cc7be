"""A flow full of secrets, and everything that can be made of its run: none of them stands in any of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interfaces.cli.reports.writers import KINDS
from tests.interfaces.cli.conftest import Ran
from tests.support.encodings import forms

Testmesh = Callable[..., Ran]
API_KEY = 'k3y&"<é>=one/two'
PASSWORD = "correct horse+battery%staple"
LEARNED = "learned-by-the-flow-4711"
FLOW = """\
flow:
  name: Secrets
  env:
    basic: "Basic ${toBase64(api_key)}"
  setup:
    - id: echo
      action: mock_server_start
      config:
        endpoints:
          - path: /login
            response:
              headers: {X-Token: "lear${'ned-by-the-f'}low-${1 + 4710}"}
              json: {token: "lear${'ned-by-the-f'}low-${1 + 4710}"}
          - path: /*
            method: ANY
            response: {json: {headers: "${request.headers}", query: "${request.query}", body: "${request.body}"}}
  steps:
    - {id: said, action: log, config: {message: "the key is ${api_key}, the password ${PASSWORD}"}}
    - id: "named"
      name: "with ${api_key}"
      action: http_request
      config:
        method: POST
        url: "${echo.base_url}/a"
        params: {token: "${api_key}", page: 1}
        headers: {Authorization: "${basic}", X-Plain: "${api_key}", Cookie: "sid=${PASSWORD}"}
        json: {password: "${PASSWORD}", deep: ["${api_key}", {"${api_key}": 1}]}
      assert: [body.body.password == 'nope', "body.headers contains 'nothing'", "body.query.token matches '^x'"]
      on_error: {action: continue}
    - id: authorised
      action: http_request
      config: {method: GET, url: "${echo.base_url}/b", auth: {type: basic, username: ada, password: "${PASSWORD}"}}
      assert: [status == 404]
      on_error: {action: continue}
    - id: login
      action: http_request
      config: {method: GET, url: "${echo.base_url}/login"}
      output: {token: $.token}
      secret_outputs: [token]
    - id: later
      action: http_request
      config: {method: GET, url: "${echo.base_url}/c", auth: {type: bearer, token: "${token}"}}
      assert: ["body.headers.authorization == 'Bearer none'"]
      on_error: {action: continue}
    - id: database
      action: database_query
      config:
        connection: {type: postgresql, host: 127.0.0.1, port: 1, user: ada, password: "${PASSWORD}", database: shop}
        query: "SELECT '${api_key}'"
      on_error: {action: continue}
    - id: shaped
      action: transform
      config: {input: ["${api_key}", "${PASSWORD}"], operations: [{map: item.nothing}]}
      on_error: {action: continue}
    - id: looped
      action: for_each
      config:
        items: ["${PASSWORD}"]
        fail_fast: false
        steps: [{id: inside, action: assert, config: {assertions: ["item == '${api_key}'"]}}]
      on_error: {action: continue}
    - id: contract
      action: contract_generate
      config: {consumer: a, provider: b, from_steps: [named], headers: [x-plain], output_file: pacts/a-b.json}
    - id: last
      action: http_request
      config: {method: POST, url: "${echo.base_url}/d", headers: {X-Plain: "${token}"}, json: {say: "${PASSWORD} ${api_key}"}}
      assert: ["body.body.say == 'nope'", "body.headers contains 'x'", "token == 'other' and api_key == PASSWORD"]
  teardown:
    - {id: bye, action: log, config: {message: "bye ${token}"}}
"""


def written(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file that a run left, those inside of archives too."""
    for path in folder.rglob("*"):
        if not path.is_file() or path.name in ("secrets.yaml", ".env"):
            continue
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path.name}/{name}", archive.read(name).decode(errors="replace")
        else:
            yield path.name, path.read_text(errors="replace")


@pytest.fixture
def told(testmesh: Testmesh, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """All texts by where they stand."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    (folder / "secrets.yaml").write_text(FLOW)
    (folder / "testmesh.yaml").write_text("secrets: [PASSWORD]\n")
    (folder / ".env").write_text(f"PASSWORD={json.dumps(PASSWORD)}\n")
    given = ["--var", f"api_key={API_KEY}", "--secret", "api_key", "--env-file", ".env"]
    reports = [f"--report={kind}=report.{kind}" for kind in KINDS]
    loud = ["-v", "--curl", "--show-response", "always"]
    runs = {
        "run": ["run", "secrets.yaml", *given, *loud, *reports, "--save", "run.tmrun"],
        "jsonl": ["run", "secrets.yaml", *given, "--format", "jsonl"],
        "json": ["run", "secrets.yaml", *given, "--format", "json"],
        "again": ["report", "run.tmrun", *(f"--report={kind}=again.{kind}" for kind in KINDS)],
        "check": ["replay", "--check", "run.tmrun"],
        "explain": ["env", "explain", "secrets.yaml", *given],
    }
    found: dict[str, str] = {}
    for name, words in runs.items():
        ran = testmesh(*words)
        found[f"stdout of {name}"], found[f"stderr of {name}"] = ran.out, ran.err
    return {**found, **dict(written(folder))}


def leaks(told: dict[str, str]) -> list[str]:
    """Where which secret stands, in which form."""
    return [
        f"{form} of {secret[:4]}... in {place}: ...{text[max(0, text.index(shape) - 80) : text.index(shape) + 40]}"
        for place, text in told.items()
        for secret in (API_KEY, PASSWORD, LEARNED)
        for form, shape in forms(secret).items()
        if shape in text
    ]


def test_a_planted_secret_is_found_in_every_form() -> None:
    for secret in (API_KEY, PASSWORD, LEARNED):
        for shape in forms(secret).values():
            assert leaks({"here": f"before{shape}after"})


def test_no_secret_stands_in_anything_that_a_run_leaves(told: dict[str, str]) -> None:
    assert leaks(told) == []


def test_what_was_looked_through_has_what_the_flow_did(told: dict[str, str]) -> None:
    for kind in KINDS:
        assert "Secrets" in told[f"report.{kind}"]
        assert "Secrets" in told[f"again.{kind}"]
    assert "[secret:" in told["report.json"]
    assert "body.body.say == 'nope'" in told["stdout of run"]
    assert "curl -X POST" in told["stdout of run"]
    assert told["summary.md"]
    assert '"consumer"' in told["a-b.json"]
    assert "named" in told["run.tmrun/events.jsonl"]
