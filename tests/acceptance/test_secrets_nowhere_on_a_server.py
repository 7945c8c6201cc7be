"""What a flow learns on a worker and calls a secret stands nowhere: not in the database, in Valkey, a log or any file."""

from __future__ import annotations

import pytest

from tests.support.encodings import ENCODINGS
from tests.support.program import Program
from tests.support.searching import files, rows, values

pytestmark = pytest.mark.system
TOKEN = "learned on a w0rker/+&<4711>"
PASSWORD = "computed=pass w0rd?"
CANARY = "everybody may know 4711"
FLOW = """\
flow:
  name: learns secrets
  env: {number: 4711, pass: pass}
  setup:
    - id: echo
      action: mock_server_start
      config:
        endpoints:
          - {path: /login, response: {json: {token: "learned on a w0rker/+&<${number}>"}}}
          - path: /*
            method: ANY
            response: {json: {headers: "${request.headers}", query: "${request.query}", body: "${request.body}"}}
  steps:
    - id: login
      action: http_request
      config: {method: GET, url: "${echo.base_url}/login"}
      output: {token: $.token}
      secret_outputs: [token]
    - {id: said, action: log, config: {message: "${token}, and everybody may know ${number}"}}
    - id: named
      name: "as ${token}"
      action: http_request
      config:
        method: POST
        url: "${echo.base_url}/a"
        params: {t: "${token}"}
        headers: {X-Plain: "${token}"}
        auth: {type: basic, username: ada, password: "computed=${pass} w0rd?"}
        json: {deep: ["${token}", {"${token}": 1}], much: "${repeat(token, 20000)}"}
      assert: ["body.body.deep[0] == 'other'", "body.query.t matches '^x'"]
      on_error: {action: continue}
    - id: looped
      action: for_each
      config:
        items: ["${token}"]
        fail_fast: false
        steps: [{id: inside, action: assert, config: {assertions: ["item == '${number}'"]}}]
      on_error: {action: continue}
    - {id: last, action: assert, config: {assertions: ["token == 'x'"]}}
  teardown:
    - {id: bye, action: log, config: {message: "bye ${token}"}}
"""


def places(program: Program, secret: str) -> set[str]:
    """Where a secret stands, in any form."""
    shapes = [encode(secret).encode() for encode in ENCODINGS.values()]
    everything = [*rows(program.database_url()), *values(program.valkey_url()), *files(program)]
    return {place for place, text in everything if any(shape in text for shape in shapes)}


@pytest.mark.row("R18")
def test_secrets_that_a_worker_learns_stand_nowhere(program: Program) -> None:
    (program.folder / "learns.yaml").write_text(FLOW)
    done = program.run("run", "--remote", "learns.yaml", "-v", "--curl", "--show-response", "always", "--report", "html=r.html")
    assert done.returncode == 1, done.stdout + done.stderr
    (program.folder / "stdout").write_text(done.stdout + done.stderr)
    assert CANARY in done.stdout
    assert {"stdout", "r.html"} < places(program, CANARY)
    assert any(place.startswith("executions.") for place in places(program, CANARY))
    assert places(program, TOKEN) == set()
    assert places(program, PASSWORD) == set()
