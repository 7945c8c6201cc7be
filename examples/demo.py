"""The demonstration: the whole system and a small shop, its flows through the queue, verdicts against `expect.yaml`.

Exit code 0 when every flow ended as expected, 1 when one did not, 3 when the system could not be started.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from domain.errors import Refusal
from interfaces.adapters.embedded import free_port
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.signals import StopSignal

SHOP = Path(__file__).resolve().parent / "shop"
ROOT = SHOP.parent.parent
START_SECONDS = 60.0


def main() -> int:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(prog="ops/demo", description=__doc__)
    parser.add_argument("--self-test", action="store_true", help="break one expectation on purpose; must exit 1")
    parser.add_argument("--keep", action="store_true", help="leave everything up until Ctrl-C")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    begun = time.monotonic()
    with ExitStack() as stack:
        try:
            system = stack.enter_context(running())
        except (Refusal, RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"the demonstration cannot start: {error}", file=sys.stderr)
            return 3
        code = show(system, self_test=options.self_test)
        print(f"\n{time.monotonic() - begun:.0f} s in all")
        if options.keep:
            keep(system)
    return code


class System:
    """What is up: environment of the program, addresses of the shop, folder of the data."""

    def __init__(self, folder: Path, environ: Mapping[str, str], url: str, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = environ
        self.url = url
        self.variables = variables

    def testmesh(self, *arguments: str) -> int:
        """A command line of the program, shown and run in the shop's folder."""
        print(f"\n$ testmesh {' '.join(arguments)}", flush=True)
        return subprocess.run([*PROGRAM, *arguments], cwd=SHOP, env=dict(self.environ), check=False).returncode


PROGRAM = [sys.executable, "-m", "interfaces.cli.main"]


@contextmanager
def running() -> Iterator[System]:
    """Everything started, and stopped again."""
    folder = Path(tempfile.mkdtemp(prefix="testmesh-demo-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        say("starting the shop: its own PostgreSQL and Valkey, and four services")
        variables = stack.enter_context(shop(folder / "shop"))
        port = free_port(None)
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TESTMESH_")},
            "TESTMESH_DATA_DIR": str(folder / "platform"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONPATH": str(ROOT),
            "TESTMESH_EGRESS_ALLOW": ",".join(sorted({address(value) for value in variables.values()})),
        }
        environ |= {f"TESTMESH_VAR_{name}": value for name, value in variables.items()}
        say("starting TestMesh: PostgreSQL, Valkey, API, projector, two workers")
        argv = [*PROGRAM, "up", "--port", str(port), "--workers", "2"]
        stack.enter_context(process(argv, environ, folder / "up.log", "ready: "))
        yield System(folder, environ, f"http://127.0.0.1:{port}", variables)
        say("stopping")


@contextmanager
def shop(root: Path) -> Iterator[dict[str, str]]:
    """The shop; the variables that its flows need."""
    postgres, valkey = EmbeddedPostgres(root), EmbeddedValkey(root)
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        stack.callback(valkey.stop)
        variables = {"shop_database_url": postgres.start(), "shop_redis_url": valkey.start()}
        argv = [sys.executable, "-m", "services", "--host", "127.0.0.1", "--port-base", "0"]
        argv += ["--database-url", variables["shop_database_url"], "--redis-url", variables["shop_redis_url"]]
        log = root / "services.log"
        stack.enter_context(process(argv, dict(os.environ), log, "shop ready", SHOP))
        (ready,) = [line for line in log.read_text().splitlines() if line.startswith("shop ready")]
        variables |= {f"{name}_url": url for name, url in (word.split("=", 1) for word in ready.split()[2:])}
        yield variables


@contextmanager
def process(argv: list[str], environ: Mapping[str, str], log: Path, ready: str, cwd: Path | None = None) -> Iterator[None]:
    """A process from the moment it says that it is ready to its orderly end."""
    with log.open("wb") as output:
        child = subprocess.Popen(argv, env=dict(environ), cwd=cwd, stdout=output, stderr=output, start_new_session=True)
    try:
        end = time.monotonic() + START_SECONDS
        while ready not in log.read_text(errors="replace"):
            if child.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(argv[2:4])} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        yield
    finally:
        child.terminate()
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def address(url: str) -> str:
    """host:port of a URL, as the allow list of the workers names it."""
    return url.split("//", 1)[1].rsplit("@", 1)[-1].split("/", 1)[0]


def show(system: System, *, self_test: bool) -> int:
    """Push, run through the queue, compare."""
    say(f"ready at {system.url}; pushing the flows, then running them through the queue")
    report = system.folder / "report.json"
    pushed = system.testmesh("flows", "push", "flows")
    if pushed:
        return 1
    system.testmesh("run", "--remote", "--follow", "flows", "--report", f"json={report}")
    if not report.exists():
        print("the run left no report", file=sys.stderr)
        return 1
    found = {entry["file"]: entry for entry in json.loads(report.read_bytes())["executions"]}
    expected = yaml.safe_load((SHOP / "expect.yaml").read_text())
    if self_test:
        first = sorted(expected)[0]
        expected[first] = {"verdict": "cancelled"}
        print(f"\nself-test: {first} is expected to be cancelled, which it is not")
    wrong = compare(expected, found)
    if found:
        some = next((entry for entry in found.values() if entry["verdict"] == "failed"), next(iter(found.values())))
        print("\nWhere to look next (with --keep, which leaves the system up):")
        print(f"  testmesh runs ls\n  testmesh runs get {some['id']}\n  curl {system.url}/api/v1/openapi.json")
    return 1 if wrong else 0


def compare(expected: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """Print one line a flow; how many did not end as expected."""
    print("\nexpected and found:")
    wrong = 0
    for file in sorted({*expected, *found}):
        want, got = expected.get(file), found.get(file)
        problems = differences(want, got)
        wrong += bool(problems)
        print(f"  {'ok ' if not problems else 'NOT'}  {file}: {'; '.join(problems) or got['verdict']}")
    print(f"{len(expected)} flows, {wrong} not as expected")
    return wrong


def differences(want: Mapping[str, Any] | None, got: Mapping[str, Any] | None) -> list[str]:
    """What is not as `expect.yaml` says."""
    if want is None or got is None:
        return ["there is no expectation for it" if want is None else "it was not run"]
    found = [f"expected {want['verdict']}, was {got['verdict']}"] if want["verdict"] != got["verdict"] else []
    verdicts = {step["path"]: step["verdict"] for step in got["steps"]}
    for path, verdict in (want.get("steps") or {}).items():
        if verdicts.get(path) != verdict:
            found.append(f"step {path}: expected {verdict}, was {verdicts.get(path, 'not run')}")
    return found


def keep(system: System) -> None:
    """Stay up until Ctrl-C."""
    names = ("TESTMESH_DATA_DIR", "XDG_CONFIG_HOME")
    print("\nEverything stays up until Ctrl-C. In another terminal:")
    print("\n".join(f"  export {name}={system.environ[name]}" for name in names))
    StopSignal().wait()


def say(text: str) -> None:
    """A heading."""
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
