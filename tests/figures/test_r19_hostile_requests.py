"""R19: Schemathesis asks a real server everything that its OpenAPI document allows and forbids; no answer is a bug, and all are
as the document says. It lives in an environment of its own: what it stands on does not work with our own Hypothesis."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from application import dead_letters
from domain.user import user_uuid
from tests.chaos.harness import FLOW, System, until
from tests.chaos.trial import running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R19"), pytest.mark.long]
FOLDER = Path(__file__).parent / "schemathesis"
SEED = 19
PHASES = ("examples", "coverage", "fuzzing", "stateful")
"""All that the tool has; a stranger learns no id that a sequence could go on with."""
REQUESTS = int(os.environ.get("TESTMESH_TEST_REQUESTS", "20000"))
BROKEN = ["a: [", "&a [*a, *a]", "steps: []\n", "name: x\nsteps:\n  - {id: a, action: nothing}\n"]


@pytest.fixture(scope="session")
def program() -> Path:
    """The tool, installed once for each content of its lock, beside our own packages."""
    lock = FOLDER / "requirements.lock"
    place = Path(sys.prefix) / f"schemathesis-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "--require-hashes", "-r", lock], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (place / "complete").touch()
    return place / "bin" / "schemathesis"


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """One worker, so that what is accepted runs."""
    with running(workers=1) as made:
        yield made


def things(system: System) -> dict[str, str]:
    """One of each thing that a path can name."""
    flow, entry = system.push(), str(uuid4())
    dead_letters.park(system.platform.database("executions"), entry, {b"x": b"y"}, "not a command", "w")
    letters = system.platform.dead_letters.page(decided=False, before=None, limit=200)
    with system.client() as http:
        until(lambda: http.get(system.path(f"/flows/{flow}")).status_code == 200, "the flow to be readable")
        http.put(system.path("/members"), json={"login": "eva", "role": "viewer"}).raise_for_status()

        def made(rest: str, field: str = "id", **body: object) -> str:
            answer = http.post(system.path(rest), json=body)
            assert answer.is_success, answer.text
            return str(answer.json()[field])

        return {
            "flow": flow,
            "execution": made("/executions", flow=flow),
            "suite_run": made("/suite-runs", flows=[flow]),
            "schedule": made("/schedules", name="daily", flow=flow, cron="0 3 * * *"),
            "key": made("/keys", "key", name="another", scopes=["runs:read"]).split("_")[1],
            "letter": next(str(letter.id) for letter in letters if letter.entry == entry),
            "user": str(user_uuid("eva")),
        }


def configured(system: System, folder: Path, key: str) -> Path:
    """The configuration: half of all ids are of things that there are, half of all documents are flows or nearly."""
    known = {f"path.{name}": [id] for name, id in things(system).items()}
    known |= {"body.document": [FLOW, *BROKEN], "body.flow": known["path.flow"], "query.min_position": ["executions:1"]}
    judged = (FOLDER / "schemathesis.toml").read_text()
    if not key:
        judged = judged.replace('["2xx", ', '["2xx", 401, ')
    lines = [judged, "[parameters]", f'"path.workspace" = {json.dumps(system.workspace)}']
    lines += [f'"{place}" = {{dictionary = "{place}", probability = 0.5}}' for place in known]
    lines += ["[dictionaries]", *(f'"{place}" = {{values = {json.dumps(values)}}}' for place, values in known.items())]
    lines += ["[auth.openapi.key]", f"bearer = {json.dumps(key)}"] if key else []
    path = folder / "schemathesis.toml"
    path.write_text("\n".join(lines))
    return path


def ask(program: Path, system: System, folder: Path, key: str, examples: int) -> tuple[int, str]:
    """Ask on every route, with `examples` random requests each besides those at every bound, and in sequences in which an
    answer gives what the next request names; how many requests, and the words for it."""
    config, described = configured(system, folder, key), folder / "openapi.json"
    with system.client() as http:
        described.write_bytes(http.get("/api/v1/openapi.json").content)
    routes = sum(len(methods) for methods in json.loads(described.read_bytes())["paths"].values())
    argv = [program, "--config-file", config, "run", described, "--url", system.api_url, "--seed", str(SEED)]
    argv += ["--phases", ",".join(PHASES if key else PHASES[:-1]), "--max-examples", str(examples)]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=3600)
    with system.client() as http:
        assert http.get("/api/v1/whoami").status_code == 200, "the key is gone: this proves nothing"
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(r"Tested: (\d+).*?(\d+) generated", done.stdout, re.DOTALL)
    assert counts is not None, done.stdout
    assert int(counts[1]) == routes, done.stdout
    return int(counts[2]), f"{counts[2]} requests on all {routes} routes"


def trouble(system: System) -> list[str]:
    """What the server wrote down as its own bug."""
    text = (system.root / "logs" / "server.log").read_text(errors="replace")
    return [line for line in text.splitlines() if "Traceback" in line or " failed" in line]


def measure(program: Path, system: System, folder: Path, key: str, examples: int, least: int, figure: Figure) -> None:
    """At least so many requests, nothing that does not fit, and nothing in the log."""
    requests, counted = ask(program, system, folder, key, examples)
    who = "with the key of an owner" if key else "without a key"
    figure(f"{who}, seed {SEED}: {counted}, every answer as the document says")
    assert trouble(system) == []
    assert requests >= least


def test_an_owner_finds_no_bug_on_any_route(program: Path, system: System, tmp_path: Path, figure: Figure) -> None:
    measure(program, system, tmp_path, system.key, 10, 2_000, figure)


def test_a_stranger_finds_no_bug_on_any_route(program: Path, system: System, tmp_path: Path, figure: Figure) -> None:
    measure(program, system, tmp_path, "", 3, 2_000, figure)


@pytest.mark.nightly
def test_an_owner_finds_no_bug_in_many_requests(program: Path, system: System, tmp_path: Path, figure: Figure) -> None:
    measure(program, system, tmp_path, system.key, REQUESTS // 50, REQUESTS, figure)
